# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Stages that overlap give what one after the other gives, and end as it ends."""

import os
import signal
import threading

import numpy as np
import pytest
import torch

from wsp_mm.apis.inference.document import read_document
from wsp_mm.apis.inference.run import infer
from wsp_mm.apis.inference.sources import Arrays, Frame, open_source
from wsp_mm.apis.inferencer import WSPInferencer


class Boxes:
    """A detector that finds as many of the fixture's persons as it is told, and breaks where it is
    told.
    """

    def __init__(self, boxes, counts=(3,), fail_at=None):
        self.boxes, self.counts, self.fail_at, self.seen = np.array(boxes), counts, fail_at, 0

    def detect(self, images):
        out = []
        for _ in images:
            if self.seen == self.fail_at:
                raise ArithmeticError('the detector broke')
            count = self.counts[self.seen % len(self.counts)]
            out.append((self.boxes[:count], np.linspace(0.9, 0.5, 3)[:count]))
            self.seen += 1
        return out


def make(networks, fixture, overlap, **options):
    detector = options.pop('det', None) or Boxes(fixture.BOXES, counts=(3, 0, 1, 2))
    more = dict(camera=dict(focal=500.0)) if networks[0].name.startswith('posenet') else {}
    return WSPInferencer(
        networks[:2],
        det=detector,
        device='cpu',
        batch_size=4,
        overlap=overlap,
        **{**more, **options},
    )


def ended():
    return not [thread for thread in threading.enumerate() if thread.name.startswith('wsp-')]


def pictures(fixture, count=11):
    """With one that cannot be read, and one of another size."""
    frames = [fixture.picture(i) for i in range(count)]
    return [*frames[:5], 'gone.png', *frames[5:], fixture.picture(9, (200, 150))]


@pytest.mark.parametrize('kind', ['pose', 'pretrained'])
def test_equal_records_in_the_same_order(kind, request, fixture):
    networks = request.getfixturevalue(kind)
    plain, overlapped = (
        list(make(networks, fixture, overlap)(pictures(fixture))) for overlap in (False, True)
    )
    assert len(plain) == 13
    assert plain == overlapped
    assert plain[5]['skipped']
    assert ended()


def test_equal_records_with_a_root_network(pose, root, fixture):
    plain, overlapped = (
        list(make(pose, fixture, overlap, root=root[:2])(pictures(fixture)))
        for overlap in (False, True)
    )
    assert plain == overlapped
    assert overlapped[0]['persons'][0]['root_depth'] is not None


def test_a_processor_does_not_overlap_by_itself_and_a_gpu_does(pose, fixture, monkeypatch):
    assert make(pose, fixture, None).overlap is False
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(
        torch.nn.Module, 'to', lambda self, *args, **more: self
    )  # there is no GPU to go to
    options = dict(det=Boxes(fixture.BOXES), device='cuda:0')
    assert WSPInferencer(pose[:2], **options).overlap is True
    assert WSPInferencer(pose[:2], **options, overlap=False).overlap is False


def test_files_are_equal_to_the_byte(pose, fixture, tmp_path):
    clip, out = open_source(fixture.write_video(tmp_path / 'clip.avi', 11)), []
    for overlap in (False, True):
        folder = tmp_path / str(overlap)
        summary = infer(make(pose, fixture, overlap), clip, folder, viewer=False, progress=False)
        assert summary.complete
        assert summary.here == dict(frames=11, persons=16, pairs=0)
        assert {'reading', 'detector', 'crops', 'pose', 'drawing', 'writing'} <= set(
            summary.seconds
        )
        out.append([(folder / file).read_bytes() for file in ('inference.json', 'video.mp4')])
    assert out[0] == out[1]


class Failing(Arrays):
    """Frames, and then an error of the source itself."""

    def __init__(self, fixture, count):
        super().__init__([fixture.picture(i) for i in range(count)])

    def frames(self, start=0):
        yield from super().frames(start)
        raise ConnectionError('the source broke')


@pytest.mark.parametrize('overlap', [False, True])
@pytest.mark.parametrize('stage', ['reading', 'detector', 'crops', 'pose', 'drawing'])
def test_an_error_of_any_stage_is_the_runs_own(
    stage, overlap, pose, fixture, tmp_path, monkeypatch
):
    det = Boxes(fixture.BOXES, counts=(2,), fail_at=9 if stage == 'detector' else None)
    inferencer = make(pose, fixture, overlap, det=det)
    frames = [fixture.picture(i) for i in range(20)]
    source = Failing(fixture, 10) if stage == 'reading' else open_source(frames)
    calls = []

    def broken_after(count, plain, message):
        def call(*args, **more):
            calls.append(1)
            if len(calls) > count:
                raise ArithmeticError(message)
            return plain(*args, **more)

        return call

    if stage == 'crops':
        monkeypatch.setattr(
            inferencer.pose, 'pipeline', broken_after(17, inferencer.pose.pipeline, 'crop')
        )
    elif stage == 'pose':
        head = inferencer.pose.model.head
        monkeypatch.setattr(head, 'predict', broken_after(4, head.predict, 'pose'))
    elif stage == 'drawing':
        from wsp_mm.apis.inference.drawing import Artist

        monkeypatch.setattr(Artist, 'draw', broken_after(9, Artist.draw, 'drawing'))
    error = ConnectionError if stage == 'reading' else ArithmeticError
    with pytest.raises(error, match=dict(reading='source broke', crops='crop').get(stage, stage)):
        infer(inferencer, source, tmp_path / 'o', viewer=False, scene=False, progress=False)
    assert ended()
    assert not (tmp_path / 'o/inference.json').exists()  # no half a document
    assert (tmp_path / 'o/inference.partial.jsonl').read_text().count(
        '\n'
    ) == 3  # and no chunk of 4 lost
    monkeypatch.undo()
    # what was whole before the error is kept, and the run goes on from there
    summary = infer(
        make(pose, fixture, overlap, det=Boxes(fixture.BOXES, counts=(2,))),
        open_source(frames), tmp_path / 'o',
        resume=True, viewer=False, scene=False, progress=False,
    )  # fmt: skip
    assert (summary.complete, summary.frames, summary.persons) == (True, 20, 40)


class Endless(Arrays):
    released = None

    def __init__(self, fixture):
        super().__init__([])
        self.picture = fixture.picture()

    def frames(self, start=0):
        try:
            for index in range(start, 10**6):
                yield Frame(index, str(index), self.picture)
        finally:
            self.released = threading.current_thread().name


def test_leaving_early_ends_the_threads_and_the_source(pose, fixture):
    source = Endless(fixture)
    for record in make(pose, fixture, True)(source):
        if record['frame'] == 9:
            break
    del record
    assert ended()
    assert source.released == 'wsp-reading'


def test_ctrl_c_ends_after_the_frames_at_hand(pose, fixture, tmp_path):
    source = Endless(fixture)

    class Interrupting(Boxes):
        def detect(self, images):
            if self.seen == 12:
                os.kill(os.getpid(), signal.SIGINT)
            return super().detect(images)

    inferencer = make(pose, fixture, True, det=Interrupting(fixture.BOXES, counts=(1,)))
    summary = infer(inferencer, source, tmp_path / 'o', scene=False, viewer=False, progress=False)
    assert summary.status == 130
    assert ended()
    document = read_document(tmp_path / 'o/inference.json')
    frames = [record['frame'] for record in document['frames']]
    assert frames == list(range(document['progress']['next_frame']))
    assert 4 <= len(frames) <= 12
    assert len(frames) % 4 == 0


def test_two_streams_beside_each_other(pose, fixture):
    frames = pictures(fixture)
    plain = list(make(pose, fixture, False)(frames))
    inferencer = make(pose, fixture, True, det=Boxes(fixture.BOXES, counts=(3,)))
    for a, b in zip(inferencer(frames), inferencer(frames[::-1]), strict=True):
        assert [len(r['persons']) for r in (a, b)] == [3 * ('skipped' not in r) for r in (a, b)]
    assert plain[0]['persons'][0]['id'] == 0
    assert ended()
