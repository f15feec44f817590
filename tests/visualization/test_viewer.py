# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import base64
import json
import re
import time

import cv2
import numpy as np
import pytest

from wsp_mm.visualization.viewer import viewer_data, write_viewer

EVIL = 'a</script><script>alert(1)</script><b id="evil">&amp;.jpg'


@pytest.fixture
def records(person, record, without_camera):
    """Three frames: two persons in camera space (one joint unknown), no camera, nobody."""
    both = record(person(0, x=-800, z=3000), person(1, x=500, z=6000), file_name=EVIL, time=0.0)
    both['persons'][1]['keypoints_cam'][2] = [None, float('nan'), None]
    frame = record(person(0), person(1, x=700), frame=1, file_name='b.jpg', time=0.04)
    return [both, without_camera(frame), record(frame=2, file_name='c.jpg', time=0.08)]


def embedded(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


def count_points(frame):
    return sum(None not in point for pose in frame['poses'] for point in pose['points'])


def test_the_page_holds_the_records(tmp_path, info, records):
    jpeg = cv2.imencode('.jpg', np.full((10, 20, 3), 7, np.uint8))[1].tobytes()
    path = tmp_path / 'out' / 'viewer.html'
    page = write_viewer(path, info, records, {2: jpeg}, title='A & <B>').read_text()
    data = embedded(page)
    first, second, third = frames = data['frames']
    assert data == viewer_data(info, records, {2: jpeg})
    assert [count_points(frame) for frame in frames] == [5, 6, 0]
    assert [frame['inCamera'] for frame in frames] == [True, False, True]
    assert first['poses'][1]['points'] == [[500, 0, 6000], [500, -700, 6000], [None] * 3]
    assert first['file'] == EVIL and 'NaN' not in json.dumps(data)
    assert first['persons'][1]['depth'] == 6000 and second['persons'][0]['depth'] is None
    head, content = third['image'].split(',')
    assert head == 'data:image/jpeg;base64' and base64.b64decode(content) == jpeg
    assert first['image'] is None and [file.name for file in path.parent.iterdir()] == [path.name]
    # nothing of a name is markup, and nothing is loaded from elsewhere by the page itself
    assert '<title>A &amp; &lt;B&gt;</title>' in page and '<B>' not in page
    assert 'id="evil"' not in page and page.count('</script>') == 3
    ours = page[: page.index('<script>')] + page[page.index('<script type=') :]
    assert 'http://' not in ours and 'https://' not in ours and '@@' not in ours


def test_ranks_of_an_order(person, record, info):
    order = dict(ids=[2, 4], probability=[[0.5, 0.1], [0.9, 0.5]])
    (frame,) = viewer_data(info, [record(person(4), person(2), order=order)], {})['frames']
    assert [(p['id'], p['rank']) for p in frame['persons']] == [(4, 2), (2, 1)]


def test_a_thousand_frames_stay_small(tmp_path, info, person, record):
    frame = record(*(person(i, x=500.0 * i, z=3000.0 + 777 * i) for i in range(3)))
    records = [frame | dict(frame=i) for i in range(1000)]
    page = write_viewer(tmp_path / 'v.html', info, records).read_text()
    assert len(page[page.index('id="data"') :]) < 1000 * 1200
    assert len(embedded(page)['frames']) == 1000


@pytest.mark.slow
def test_in_a_browser(browser, tmp_path, info, records):
    jpeg = cv2.imencode('.jpg', np.full((48, 64, 3), 200, np.uint8))[1].tobytes()
    path = write_viewer(tmp_path / 'the viewer.html', info, records, {0: jpeg})
    points = [count_points(frame) for frame in viewer_data(info, records, {})['frames']]
    context = browser.new_context(offline=True, viewport=dict(width=700, height=460))
    page = context.new_page()
    page.set_default_timeout(120_000)
    problems, requests = [], []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda message: message.type == 'error' and problems.append(message.text))
    page.on('dialog', lambda dialog: (problems.append('a dialog'), dialog.dismiss()))
    page.on('request', lambda request: requests.append(request.url))
    page.goto(path.as_uri())

    def wait(condition):
        # not page.wait_for_function: it evaluates texts within the page, which the page forbids
        until = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < until
            page.wait_for_timeout(50)

    wait(lambda: page.evaluate('Boolean(plot._fullLayout?.scene?._scene)'))

    def drawn():
        return page.evaluate('[plot.data[1].x.length, plot.data[1].y, plot.data[1].z]')

    def eye():
        return page.evaluate('Object.values(plot._fullLayout.scene._scene.getCamera().eye)')

    def counter():
        return page.locator('#count').text_content()

    # the first frame: x, depth and height of every known joint, the image, the name as text
    count, depths, heights = drawn()
    assert count == points[0] == 5
    assert sorted(depths) == [3000] * 3 + [6000] * 2
    assert max(heights) == 700 and min(heights) == -900
    assert counter() == '1 / 3' and page.evaluate('plot.data.length') == 3
    assert EVIL in page.locator('#name').text_content() and page.locator('#evil').count() == 0
    assert page.evaluate('[image.hidden, image.naturalWidth]') == [False, 64]
    assert page.locator('#persons tr').count() == 3
    assert '6000 mm' in page.locator('#persons').text_content()
    assert 'mm' in page.evaluate('plot.layout.scene.yaxis.title.text')

    # dragging with the mouse turns the scene
    before = eye()
    box = page.locator('#plot').bounding_box()
    x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 30, steps=4)
    page.mouse.up()
    wait(lambda: np.linalg.norm(np.subtract(eye(), before)) > 0.2)

    # a click on the slider's end shows the last frame, which has nobody; the key goes back one
    turned = eye()
    slider = page.locator('#slider').bounding_box()
    page.mouse.click(slider['x'] + slider['width'] - 6, slider['y'] + slider['height'] / 2)
    assert counter() == '3 / 3' and drawn()[0] == 0
    page.keyboard.press('ArrowLeft')
    assert counter() == '2 / 3' and drawn()[0] == points[1] == 6
    assert 'no camera: root-relative' in page.locator('#note').text_content()
    assert page.locator('#note').get_attribute('class') == 'relative'
    assert page.evaluate('[image.hidden, plot.data[2].x.length]') == [True, 0]
    assert eye() == pytest.approx(turned, abs=1e-3)  # another frame does not turn it back
    page.locator('#back').click()
    assert counter() == '1 / 3' and drawn()[0] == points[0]
    page.locator('#next').click()
    assert counter() == '2 / 3'
    page.locator('#play').click()
    wait(lambda: counter() != '2 / 3')
    page.locator('#play').click()
    assert page.locator('#play').text_content() == 'play'
    assert not problems
    assert requests[0] == path.as_uri()
    assert all(url.startswith(('data:', 'blob:')) for url in requests[1:])


@pytest.mark.slow
def test_no_frames_in_a_browser(browser, tmp_path, info):
    path = write_viewer(tmp_path / 'v.html', info, [])
    page = browser.new_page()
    problems = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator('#count').text_content() == 'no frames' and not problems
