# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The main job on the embedded world: generate, build MCPC, pre-train, finetune to 3D, test,
report.

With --mupots the chain goes on: MuCo and MuPoTS worlds, a root network, pose networks on MuCo and
COCO, and the whole top-down path in camera space, behind the detector that the package comes with.
"""

import argparse
import sys
import time
from pathlib import Path

import mupots
import pose3d
import relative_depth
from report import Report
from runner import Runner, StepFailed, run_experiment
from worlds import add_world_arguments, worlds_of

from wsp_mm.evaluation.tables import cell
from wsp_mm.utils.compat import machine
from wsp_mm.utils.files import dump_json

CONFIG = pose3d.PRETRAININGS['wsp'][1]
ROWS = [row for row in pose3d.ROWS if row.data == 'H36M']
TRAININGS = ('pretrain', 'finetune', 'root', 'pose')
# Only shows that everything runs.
_SHORT = [
    'train_cfg.max_iters=8', 'train_dataloader.batch_size=8', 'default_hooks.logger.interval=4',
]  # fmt: skip
# Twenty times the iterations, for worlds that have about twenty times the images.
_LONG = [
    'train_cfg.max_iters=6000', 'param_scheduler.1.end=6000', 'param_scheduler.1.T_max=6000',
    'train_cfg.val_interval=2000', 'default_hooks.checkpoint.interval=500',
]  # fmt: skip
#: Preset -> options of each kind of training.
OPTIONS = {
    'tiny': dict.fromkeys(TRAININGS, _SHORT),
    'small': {},
    'full': dict.fromkeys(TRAININGS, _LONG),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--mupots', action='store_true', help='go on to many persons in camera space')
    add('--work-dir', type=Path, help='default: work_dirs/quickstart (or quickstart_PRESET)')
    add_world_arguments(parser)
    args = parser.parse_args(argv)
    name = 'quickstart' if args.preset == 'small' else f'quickstart_{args.preset}'
    args.work_dir = args.work_dir or Path('work_dirs') / name
    return args


def run(args: argparse.Namespace) -> None:
    start, out, worlds = time.monotonic(), args.work_dir, worlds_of(args)
    options = OPTIONS[args.preset]
    runner, noise, seeds = Runner(out / 'steps'), out / 'label_noise', [args.seed]
    trained = [f'randomness.seed={args.seed}', *options.get('pretrain', ())]
    pretrainings, checkpoints = pose3d.pretrain(('wsp', '2d'), out, trained)
    steps = [*worlds.wild(), *worlds.h36m(), *pretrainings]
    finetune = options.get('finetune', ())
    steps += pose3d.finetune(ROWS, checkpoints, out / 'pose3d', seeds, finetune)
    test = out / 'pretrain' / 'test'
    steps += relative_depth.evaluations('pretrain', CONFIG, checkpoints['wsp'], test, trained)
    steps.append(relative_depth.label_noise(worlds.root, noise))
    try:
        more = mupots.mupots_steps(worlds, checkpoints['wsp'], out / 'mupots', options)
    except StepFailed:  # no detector: only those need it who ask for it
        if args.mupots:
            raise
        more = []
    runner.run([*steps, *(more if args.mupots else [])])

    minutes = (time.monotonic() - start) / 60
    report = Report('wsp_mm on the embedded world', out)
    report.text(
        'Everything below was made by the commands of this run, except the columns named "paper": '
        'those were measured on real data with the full network and schedule, and are no target '
        'here.'
    )
    notes = {
        'config': f'{CONFIG} {" ".join(trained)}',
        'world': f'preset {args.preset}, seed {args.seed}',
        'machine': machine(),
        **{f'time: {step.name}': f'{runner.seconds[step.name]:.0f} s' for step in steps},
        'time: this run by the clock': f'{minutes:.1f} min (steps run side by side)',
    }
    report.table(['', ''], list(notes.items()))
    figures = relative_depth.add_sections(report, out / 'pretrain', test, noise, worlds.root)
    results = pose3d.Results.gather(ROWS, seeds, out / 'pose3d', runner)
    pose3d.add_sections(report, results)
    figures |= results.figures()
    if more and runner.up_to_date(
        more
    ):  # what --mupots found stays in the report while it is valid
        figures |= mupots.add_sections(report, worlds.root, out / 'mupots', runner.seconds)
    report.write()
    dump_json(out / 'report.json', figures)
    print(
        f'\nquickstart took {minutes:.1f} min\n'
        f'AUC {cell(figures["p1/rd/AUC"])} (gap <= 0.1: {cell(figures["p1/rd/AUC_gap0.1"])}), '
        f'PCK {cell(figures["p1/pck/PCK"])}, MPJPE {figures["3d/wsp-h36m/Joints Avg"]:.0f} mm'
    )
    if args.mupots:
        pck = cell(figures['mupots/wsp/net/PCK_All'])
        print(f'3DPCK, All: {pck} (detector, learned root)')
    print(f'report: {out / "report.html"}')


if __name__ == '__main__':
    sys.exit(run_experiment(run, parse_args()))
