# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import base64
import json
import re
import time
from functools import partial

import cv2
import numpy as np
import pytest

from wsp_mm.visualization.draw import PERSON_COLORS
from wsp_mm.visualization.viewer import viewer_data, write_viewer

EVIL = 'a</script><script>alert(1)</script><b id="evil">&amp;.jpg'


@pytest.fixture
def records(person, record, without_camera):
    """Four frames: two persons in camera space (the nearer last, one joint unknown), no camera,
    nobody, no 3D.
    """
    both = record(person(0, x=500, z=6000), person(1, x=-800, z=3000), file_name=EVIL)
    both['persons'][0]['keypoints_cam'][2] = [None, float('nan'), None]
    frame = record(person(0), person(1, x=700), frame=1, file_name='b.jpg')
    flat = without_camera(record(person(0, keypoints_rel=None), frame=3, file_name='d.jpg'))
    return [both, without_camera(frame), record(frame=2, file_name='c.jpg'), flat]


def embedded(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


def test_the_page_holds_the_records(tmp_path, info, records):
    jpeg = cv2.imencode('.jpg', np.full((10, 20, 3), 7, np.uint8))[1].tobytes()
    path = tmp_path / 'out' / 'viewer.html'
    page = write_viewer(path, info, records, {2: jpeg}, title='A & <B>').read_text()
    data = embedded(page)
    first, second, third, fourth = data['frames']
    assert data == viewer_data(info, records, {2: jpeg}) and data['path'] == [
        0,
        1,
        None,
        0,
        2,
        None,
    ]
    assert [frame['inCamera'] for frame in data['frames']] == [True, False, True, False]
    # the nearest first; m in the plot's axes: right, away, up
    near, far = first['persons']
    assert [(p['number'], p['id'], p['depth']) for p in (near, far)] == [(1, 1, 3), (2, 0, 6)]
    assert far['points'] == [[0.5, 6, 0], [0.5, 6, 0.7], [None] * 3]
    assert near['color'] == '#{2:02x}{1:02x}{0:02x}'.format(*PERSON_COLORS[0])
    low, high = np.array(first['box'])
    assert (low <= [-0.8, 0, -0.9]).all() and (high >= [0.5, 6, 0.7]).all() and low[1] == 0
    assert second['persons'][0]['depth'] is None and second['persons'][0]['points']
    assert fourth['persons'][0]['points'] is None and fourth['persons'][0]['pixels']
    assert first['name'] == EVIL and 'NaN' not in json.dumps(data)
    head, content = third['image'].split(',')
    assert head == 'data:image/jpeg;base64' and base64.b64decode(content) == jpeg
    assert first['image'] is None and [file.name for file in path.parent.iterdir()] == [path.name]
    # nothing of a name is markup, and nothing is loaded from elsewhere by the page itself
    assert '<title>A &amp; &lt;B&gt;</title>' in page and '<B>' not in page
    assert 'id="evil"' not in page and page.count('</script>') == 3
    ours = page[: page.index('<script>')] + page[page.index('<script type=') :]
    assert 'http://' not in ours and 'https://' not in ours and '@@' not in ours


def test_a_thousand_frames_stay_small(tmp_path, info, person, record):
    frame = record(*(person(i, x=500.0 * i, z=3000.0 + 777 * i) for i in range(3)))
    records = [frame | dict(frame=i) for i in range(1000)]
    page = write_viewer(tmp_path / 'v.html', info, records).read_text()
    assert len(page[page.index('id="data"') :]) < 1000 * 1300
    assert len(embedded(page)['frames']) == 1000


def wait(page, condition):
    # not page.wait_for_function: it evaluates texts within the page, which the page forbids
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        page.wait_for_timeout(50)


@pytest.mark.slow
@pytest.mark.parametrize('device', ['desktop', 'phone'])
def test_in_a_browser(device, browser, tmp_path, info, records, find):
    jpeg = cv2.imencode('.jpg', np.full((48, 64, 3), 200, np.uint8))[1].tobytes()
    path = write_viewer(tmp_path / 'the viewer.html', info, records, {0: jpeg})
    options = dict(viewport=dict(width=1280, height=800))
    if device == 'phone':
        options = dict(viewport=dict(width=390, height=844), has_touch=True, is_mobile=True)
    page = browser.new_context(offline=True, **options).new_page()
    page.set_default_timeout(120_000)
    problems, requests = [], []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda message: message.type == 'error' and problems.append(message.text))
    page.on('dialog', lambda dialog: (problems.append('a dialog'), dialog.dismiss()))
    page.on('request', lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    wait(page, lambda: page.evaluate('Boolean(plot._fullLayout?.scene?._scene)'))

    def texts(selector):
        return [text.strip() for text in page.locator(selector).all_text_contents()]

    def drawn(name):
        """Where the scene shows the colours of numbers 1 and 2, as WebGL drew them."""
        file = tmp_path / f'{device}_{name}.png'
        page.screenshot(path=file)
        x, y, w, h = (round(v) for v in page.locator('#plot').bounding_box().values())
        scene = cv2.imread(str(file))[y : y + h, x : x + w]
        return [len(find(scene, color, 20)) for color in PERSON_COLORS[:2]]

    def eye():
        return page.evaluate('Object.values(plot._fullLayout.scene._scene.getCamera().eye)')

    # the same numbers in the image, the list and the scene; the name is text
    wait(page, lambda: min(drawn('camera')) > 100)
    assert texts('#count') == ['1 / 4'] and texts('#persons li') == ['1 3.00 m', '2 6.00 m']
    assert sorted(texts('#photo .number')) == ['1', '2'] and page.locator('svg path').count() >= 4
    scene = page.evaluate('plot.data.slice(3).map((t) => [t.text.join(""), t.line.color])')
    badges = '[...document.querySelectorAll("#photo .number")].map((b) => [b.textContent, {}])'
    image = page.evaluate(badges.format('b.style.backgroundColor'))
    colors = [tuple(bytes.fromhex(color[1:])) for _, color in scene]
    assert dict(image) == {str(i): f'rgb{color}' for i, color in enumerate(colors, 1)}
    assert [number for number, _ in scene] == ['1', '2']
    assert EVIL in page.locator('#name').text_content() and page.locator('#evil').count() == 0
    assert page.evaluate('element("image").naturalWidth') == 64
    assert 'Metres' in page.locator('#note').text_content()

    # nothing sticks out, all text can be read; side by side, or one above the other
    assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')
    text = '[...document.querySelectorAll("#title div, button, p, li, .number")]'
    size = 'parseFloat(getComputedStyle(e).fontSize)'
    assert min(page.evaluate(f'{text}.map((e) => {size})')) >= 14
    assert min(page.evaluate('plot.data.slice(1).map((t) => t.textfont.size)')) >= 14
    photo, plot = (page.locator(name).bounding_box() for name in ('#photo', '#plot'))
    if device == 'phone':
        assert photo['y'] + photo['height'] <= plot['y']
    else:
        assert photo['x'] + photo['width'] <= plot['x']

    def at_rest():
        """Whether six drawn frames, however slowly they are drawn, do not change the view."""
        draw = 'let n = 6; const draw = () => (n-- ? requestAnimationFrame(draw) : done()); draw();'
        seen = eye()
        page.evaluate(f'new Promise((done) => {{ {draw} }})')
        return seen == eye()

    # a drag, with the mouse or a finger, turns the scene; Plotly keeps the view of its end
    before, x, y = eye(), plot['x'] + plot['width'] / 2, plot['y'] + 120
    if device == 'phone':
        touch = page.context.new_cdp_session(page)
        for kind, shift in (('Start', 0), ('Move', 30), ('Move', 60), ('Move', 90)):
            points = [dict(x=x + shift, y=y + shift / 3)]
            touch.send('Input.dispatchTouchEvent', dict(type=f'touch{kind}', touchPoints=points))
            page.wait_for_timeout(100)
        end = dict(type='touchEnd', touchPoints=[])
        release = partial(touch.send, 'Input.dispatchTouchEvent', end)
    else:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 90, y + 30, steps=4)
        release = page.mouse.up
    wait(page, lambda: np.linalg.norm(np.subtract(eye(), before)) > 0.2)
    wait(page, at_rest)
    turned = eye()
    release()

    # one click for the next image, and arrow keys
    page.locator('#next').click()
    assert texts('#count') == ['2 / 4'] and texts('#persons li') == ['1', '2']
    note = page.locator('#note').text_content().replace('\u2060', '')
    assert 'guess' in note and '--camera' in note and '--assume-fov' in note
    assert page.evaluate('element("image").hidden')
    wait(page, lambda: min(drawn('no_camera')) > 100)
    assert eye() == pytest.approx(turned, abs=1e-3)  # another image does not turn it back
    page.keyboard.press('ArrowRight')
    assert texts('#count') == ['3 / 4'] and texts('#persons li') == []
    assert 'No persons' in page.locator('#note').text_content()
    wait(page, lambda: not any(drawn('nobody')))
    page.keyboard.press('ArrowRight')
    assert texts('#count') == ['4 / 4'] and texts('#persons li') == ['1']
    assert 'without 3D' in page.locator('#note').text_content()
    wait(page, lambda: not any(drawn('no_3d')))
    assert page.locator('#next').is_disabled()
    page.locator('#back').click()
    page.keyboard.press('ArrowLeft')
    assert texts('#count') == ['2 / 4']
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
    assert page.locator('#count').text_content() == 'no images' and not problems
    assert page.locator('#next').is_disabled() and not page.locator('#slider').is_visible()
