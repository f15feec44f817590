# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import pytest

from wsp_mm.apis.inference.document import DocumentError, DocumentWriter, read_document

INFO = dict(skeleton_links=[(0, 1)], models=dict(pose=dict(name='a')))


def record(i, **more):
    return dict(frame=i, file_name=f'{i}.jpg', persons=[], **more)


def write(path, frames, complete=True, **options):
    writer = DocumentWriter(path, options.pop('info', INFO), **options)
    for i in range(writer.next_frame, frames, 2):
        writer.add([record(k) for k in range(i, min(i + 2, frames))], min(i + 2, frames))
    writer.close(complete)
    return writer


def test_finished_document(tmp_path):
    writer = DocumentWriter(tmp_path / 'o' / 'i.json', INFO)
    writer.add([record(0), record(1, skipped='damaged')], 2)
    writer.add([record(2)], 3)
    assert writer.close(True, ['a note']) == tmp_path / 'o' / 'i.json'
    assert read_document(tmp_path / 'o' / 'i.json') == dict(
        format='wsp_mm.inference',
        version=1,
        info=dict(skeleton_links=[[0, 1]], models=dict(pose=dict(name='a'))),
        frames=[record(0), record(1, skipped='damaged'), record(2)],
        skipped=[dict(frame=1, file_name='1.jpg', reason='damaged')],
        notes=['a note'],
        progress=dict(complete=True, next_frame=3),
    )
    assert [path.name for path in (tmp_path / 'o').iterdir()] == ['i.json']


def test_empty_document_is_valid(tmp_path):
    DocumentWriter(tmp_path / 'i.json', INFO).close(True)
    assert read_document(tmp_path / 'i.json')['frames'] == []


@pytest.mark.parametrize('cut', [2, 4, 6])
def test_interrupted_and_resumed_equals_uninterrupted(cut, tmp_path):
    write(tmp_path / 'whole.json', 7)
    write(tmp_path / 'parts.json', cut, complete=False)
    halfway = read_document(tmp_path / 'parts.json')  # valid in between, too
    assert halfway['progress'] == dict(complete=False, next_frame=cut)
    assert len(halfway['frames']) == cut
    write(tmp_path / 'parts.json', 7, resume=True)
    assert (tmp_path / 'parts.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    assert not (tmp_path / 'parts.partial.jsonl').exists()


@pytest.mark.parametrize('lost', [1, 10, 40])
def test_a_torn_line_is_done_again(lost, tmp_path):
    write(tmp_path / 'whole.json', 8)
    writer = DocumentWriter(tmp_path / 'i.json', INFO)
    for i in (0, 2, 4):
        writer.add([record(i), record(i + 1)], i + 2)
    writer.abandon()  # killed
    data = writer.partial.read_bytes()
    writer.partial.write_bytes(data[:-lost])
    assert write(tmp_path / 'i.json', 8, resume=True).complete
    assert (tmp_path / 'i.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()


def test_torn_in_the_very_first_line(tmp_path):
    (tmp_path / 'i.partial.jsonl').write_bytes(b'{"format":"wsp_mm.inf')
    write(tmp_path / 'i.json', 3, resume=True)
    assert len(read_document(tmp_path / 'i.json')['frames']) == 3


def test_output_is_not_overwritten_unasked(tmp_path):
    write(tmp_path / 'i.json', 3)
    with pytest.raises(DocumentError, match=r'--resume .* --overwrite'):
        DocumentWriter(tmp_path / 'i.json', INFO)
    done = DocumentWriter(tmp_path / 'i.json', INFO, resume=True)
    assert (done.complete, done.next_frame, len(list(done.records()))) == (True, 3, 3)
    write(tmp_path / 'i.json', 2, overwrite=True)
    assert len(read_document(tmp_path / 'i.json')['frames']) == 2


@pytest.mark.parametrize('complete', [True, False])
def test_another_run_is_not_continued(complete, tmp_path):
    write(tmp_path / 'i.json', 3, complete=complete)
    with pytest.raises(DocumentError, match='differs in models'):
        DocumentWriter(tmp_path / 'i.json', dict(INFO, models=dict(pose='b')), resume=True)


def test_other_files_and_versions(tmp_path):
    for content, match in (('{', 'no json'), ('{}', 'not of format'), (None, 'version 2')):
        text = content or json.dumps(dict(format='wsp_mm.inference', version=2))
        (tmp_path / 'i.json').write_text(text)
        with pytest.raises(DocumentError, match=match):
            read_document(tmp_path / 'i.json')


def test_what_is_no_json_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='JSON compliant'):
        DocumentWriter(tmp_path / 'i.json', INFO).add([record(0, x=float('nan'))], 1)
