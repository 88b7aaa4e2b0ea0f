"""Runs in parts: what is computed is declared, who computes it is not.

`parts=64` shares the inputs out among 64 parts, each a pure function of inputs, options and its number. Any process on
any machine that sees the inputs and the output folder runs any part, in any order, also twice; `finish` makes one
folder of them. Nothing here schedules machines.

- `sharing`: which part a call runs, what cannot be shared out, and verbs whose result only the end of a run has.
- `running`: one part, or all of them, and the end of a run. `counting`: a phase before them.
  `trying`: of a call that would remove an earlier run.
- `gathering`: runs parts by an executor; those whose process died again. `processes`, `ray_tasks`: executors.
- `places`: where parts lie: `local_place`, `store_place` (its end: `store_end`).
- `signs`: small files beside the parts that say how far each is. `boards`: where they hang. `table`: what they say.
"""
