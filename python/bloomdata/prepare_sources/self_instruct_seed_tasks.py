"""Self-Instruct's seed tasks."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="self_instruct_seed_tasks",
    title="Self-Instruct's seed tasks",
    licence="Apache-2.0",
    schema="instruction, instances: [{input, output}]",
    origin="bloomdata",
)
