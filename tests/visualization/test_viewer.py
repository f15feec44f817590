# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import base64
import json
import re
import shutil
import time

import cv2
import numpy as np
import pytest

from wsp_mm.visualization.viewer import PICTURE_SIDE, viewer_data, write_viewer

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
EVIL = 'a</script><script>alert(1)</script><b id="evil">&amp;.jpg'


@pytest.fixture
def document(person, record, without_camera, info):
    """Three frames: two persons in camera space (one joint unknown), the same without a camera,
    nobody.
    """
    both = record(person(0, x=-800, z=3000), person(1, x=500, z=6000), file_name=EVIL, time=0.0)
    both['persons'][1]['keypoints_cam'][2] = [None, float('nan'), None]
    plain = without_camera(
        record(person(0), person(1, x=700), frame=1, file_name='b.jpg', time=0.04)
    )
    nobody = record(frame=2, file_name='c.jpg', time=0.08)
    return dict(format='wsp_mm.inference', version=1, info=info, frames=[both, plain, nobody])


def embedded(page):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    )


def count_points(frame):
    return sum(None not in point for pose in frame['poses'] for point in pose['points'])


def test_the_page_holds_the_document(tmp_path, document):
    path = write_viewer(tmp_path / 'out' / 'viewer.html', document, title='A & <B>')
    page = path.read_text()
    data = embedded(page)
    assert data == viewer_data(document)
    assert [count_points(frame) for frame in data['frames']] == [5, 6, 0]
    assert [frame['inCamera'] for frame in data['frames']] == [True, False, True]
    assert data['frames'][0]['poses'][1]['points'] == [
        [500, 0, 6000],
        [500, -700, 6000],
        [None] * 3,
    ]
    assert data['frames'][0]['file'] == EVIL and 'NaN' not in json.dumps(data)
    assert (
        data['frames'][0]['persons'][1]['depth'] == 6000
        and data['frames'][1]['persons'][0]['depth'] is None
    )
    assert [file.name for file in path.parent.iterdir()] == ['viewer.html']
    # nothing of a name is markup, and nothing is loaded from elsewhere by the page itself
    assert '<title>A &amp; &lt;B&gt;</title>' in page and '<B>' not in page
    assert 'id="evil"' not in page and page.count('</script>') == 3
    ours = page[: page.index('<script>')] + page[page.index('<script type=') :]
    assert 'http://' not in ours and 'https://' not in ours and '@@' not in ours


def test_pictures_are_small_jpegs_of_their_frames(document):
    large = np.full((900, 1600, 3), (200, 40, 90), np.uint8)
    jpeg = cv2.imencode('.jpg', np.full((10, 20, 3), 7, np.uint8))[1].tobytes()
    frames = viewer_data(document, {0: large, 2: jpeg})['frames']
    head, data = frames[0]['picture'].split(',')
    assert head == 'data:image/jpeg;base64' and frames[1]['picture'] is None
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert (
        picture.shape == (270, PICTURE_SIDE, 3)
        and np.abs(picture.astype(int) - (200, 40, 90)).max() < 8
    )
    assert base64.b64decode(frames[2]['picture'].split(',')[1]) == jpeg
    assert viewer_data(document, [None, large])['frames'][1]['picture'] is not None


def test_ranks_of_an_order(person, record, info):
    frame = record(
        person(4),
        person(2),
        order=dict(ids=[2, 4], probability=[[0.5, 0.1], [0.9, 0.5]]),
        camera=None,
    )
    data = viewer_data(dict(format='wsp_mm.inference', version=1, info=info, frames=[frame]))
    assert [(p['id'], p['rank']) for p in data['frames'][0]['persons']] == [(4, 2), (2, 1)]


def test_documents_that_are_none(document, info):
    with pytest.raises(ValueError, match='version 2'):
        viewer_data({**document, 'version': 2})
    with pytest.raises(ValueError, match='needs a document of format'):
        viewer_data({'frames': []})
    with pytest.raises(
        ValueError, match=r'pictures for frames \[3\], but there are frames 0 to 2 only'
    ):
        viewer_data(document, {3: b'\xff\xd8'})
    with pytest.raises(ValueError, match='must be a JPEG'):
        viewer_data(document, {0: b'GIF89a'})
    assert viewer_data({**document, 'frames': []})['frames'] == []


def test_a_thousand_frames_stay_small(tmp_path, document, person, record):
    frame = record(*(person(i, x=500.0 * i, z=3000.0 + 777 * i) for i in range(3)))
    document['frames'] = [{**frame, 'frame': i} for i in range(1000)]
    page = write_viewer(tmp_path / 'v.html', document).read_text()
    data = page[page.index('id="data"') :]
    assert len(data) < 1000 * 1200
    assert len(embedded(page)['frames']) == 1000


@pytest.fixture
def browser():
    if CHROMIUM is None:
        pytest.skip('no chromium, chromium-browser or google-chrome on this machine')
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    # A machine without a GPU draws WebGL in software; a container has no sandbox.
    flags = [
        '--no-sandbox',
        '--use-angle=swiftshader',
        '--enable-unsafe-swiftshader',
        '--ignore-gpu-blocklist',
    ]
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.mark.slow
def test_in_a_browser(browser, tmp_path, document):
    picture = np.full((48, 64, 3), 200, np.uint8)
    path = write_viewer(tmp_path / 'the viewer.html', document, {0: picture})
    points = [count_points(frame) for frame in viewer_data(document)['frames']]
    context = browser.new_context(offline=True, viewport=dict(width=700, height=460))
    page = context.new_page()
    page.set_default_timeout(120_000)
    problems, requests = [], []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda message: message.type == 'error' and problems.append(message.text))
    page.on('dialog', lambda dialog: (problems.append('a dialog'), dialog.dismiss()))
    page.on('request', lambda request: requests.append(request.url))
    page.goto(path.as_uri())

    def wait(condition, seconds=120):
        # not page.wait_for_function: it evaluates texts within the page, which the page forbids
        until = time.monotonic() + seconds
        while not page.evaluate(condition):
            assert time.monotonic() < until, condition
            page.wait_for_timeout(50)

    wait('Boolean(plot._fullLayout && plot._fullLayout.scene && plot._fullLayout.scene._scene)')

    def drawn():
        return page.evaluate('[plot.data[1].x.length, plot.data[1].y, plot.data[1].z]')

    def eye():
        return page.evaluate(
            '(({x, y, z}) => [x, y, z])(plot._fullLayout.scene._scene.getCamera().eye)'
        )

    def counter():
        return page.locator('#count').text_content()

    # the first frame: x, depth and height of every known joint, the picture, the name as text
    count, depths, heights = drawn()
    assert count == points[0] == 5
    assert (
        sorted(depths) == [3000] * 3 + [6000] * 2 and max(heights) == 700 and min(heights) == -900
    )
    assert counter() == '1 / 3' and page.evaluate('plot.data.length') == 3
    assert EVIL in page.locator('#name').text_content() and page.locator('#evil').count() == 0
    assert page.evaluate('[picture.hidden, picture.naturalWidth]') == [False, 64]
    assert (
        page.locator('#persons tr').count() == 3
        and '6000 mm' in page.locator('#persons').text_content()
    )
    assert 'mm' in page.evaluate('plot.layout.scene.yaxis.title.text')

    # dragging with the mouse turns the scene
    before = eye()
    box = page.locator('#plot').bounding_box()
    x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 30, steps=4)
    page.mouse.up()
    until = time.monotonic() + 120
    while np.linalg.norm(np.subtract(eye(), before)) < 0.2:
        assert time.monotonic() < until, eye()
        page.wait_for_timeout(50)

    # a click on the slider's end shows the last frame, which has nobody; the key goes back one
    turned = eye()
    slider = page.locator('#slider').bounding_box()
    page.mouse.click(slider['x'] + slider['width'] - 6, slider['y'] + slider['height'] / 2)
    assert counter() == '3 / 3' and drawn()[0] == 0
    page.keyboard.press('ArrowLeft')
    assert counter() == '2 / 3' and drawn()[0] == points[1] == 6
    assert 'no camera: root-relative' in page.locator('#note').text_content()
    assert page.locator('#note').get_attribute('class') == 'relative'
    assert page.evaluate('[picture.hidden, plot.data[2].x.length]') == [True, 0]
    assert eye() == pytest.approx(turned, abs=1e-3)  # another frame does not turn it back
    page.locator('#back').click()
    assert counter() == '1 / 3' and drawn()[0] == points[0]
    page.locator('#next').click()
    assert counter() == '2 / 3'
    page.locator('#play').click()
    wait("document.getElementById('count').textContent !== '2 / 3'")
    page.locator('#play').click()
    assert page.locator('#play').text_content() == 'play'
    assert not problems
    assert requests == [path.as_uri()] + [
        url for url in requests[1:] if url.startswith(('data:', 'blob:'))
    ]


@pytest.mark.slow
def test_an_empty_document_in_a_browser(browser, tmp_path, document):
    path = write_viewer(tmp_path / 'v.html', {**document, 'frames': []})
    page = browser.new_page()
    problems = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator('#count').text_content() == 'no frames' and not problems
