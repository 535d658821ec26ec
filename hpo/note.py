"""The note on a study that the dashboard shows: what is searched, on what, and what comes next."""

from __future__ import annotations

import optuna

from hpo.settings import StudySettings


def note(name: str, settings: StudySettings, data_fingerprint: str, device: str) -> str:
    """The note, in Markdown.

    Args:
        name: of the study.
        settings: of the study.
        data_fingerprint: of its data.
        device: on which it was begun, in words.
    """
    network, space, search = settings.network, settings.space, settings.search
    side, count = network.image_size, network.convolutions
    return f"""# {name}

{settings.description}

- **Searched**: {count} convolutions with filters of {space.kernel.low} to {space.kernel.high}
  pixels, {space.filters.low} to {space.filters.high} of them, {space.fc_units.low} to
  {space.fc_units.high} fully connected units; for every layer a learning rate, a momentum and an
  L2 penalty of its own.
- **Data**: {settings.data.set} at {side}×{side} (`{data_fingerprint}`).
- **Value of a trial**: the lowest error of its epochs, {settings.training.epochs} at most, on
  {settings.data.validation_tasks} fixed one-shot tasks of the validation alphabets. 1.0 stands for
  a network that cannot train; `fail_reason` says why.
- **Search**: sampler {search.sampler}, pruner {search.pruner}, seed {search.seed}.
- **Begun on**: {device}.

The best of many trials is partly luck: `hpo confirm {name}` trains the first few again and scores
them on fresh tasks. Then `hpo export {name} -o best.toml`, `hpo train best.toml`, and
`hpo evaluate best.safetensors` once. `hpo report {name}` writes all of this study on one page.
"""


def write_note(study: optuna.Study, text: str) -> None:
    """Keep the note with the study, unless it has one that somebody may have changed."""
    from optuna_dashboard import get_note, save_note  # costs every command half a second

    if not get_note(study):
        save_note(study, text)
