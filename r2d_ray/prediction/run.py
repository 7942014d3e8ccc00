"""A prediction from its input to its output: read, answer chunk by chunk, write, whole or not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from r2d_ray import __version__
from r2d_ray.data.reading.streams import Chunk
from r2d_ray.errors import UserError
from r2d_ray.prediction.answers import Answer, Column
from r2d_ray.prediction.columns import example_of
from r2d_ray.prediction.inputs import Counted, Input, count, input_lines, open_input
from r2d_ray.prediction.part import Part, fingerprint
from r2d_ray.prediction.request import PredictRequest, check_asked, checked_output, columns_for
from r2d_ray.prediction.writers import Writer, ending_of, writer_for, written
from r2d_ray.storage import counted
from r2d_ray.study.model_file import read_model_file

if TYPE_CHECKING:
    from r2d_ray.prediction.predictor import Predictor


@dataclass(slots=True)
class Outcome:
    """What was written: rows, and those without a label, with a cut input, decided by costs."""

    rows: int = 0
    abstained: int = 0
    cut: int = 0
    by_costs: int = 0


class Listener:
    """Hears of a prediction; this one says nothing."""

    def say(self, line: str) -> None:
        """Take a line for the user."""

    def done(self, rows: int, total: int, earlier: int) -> None:
        """Take how many of the rows have an answer, and how many had one before this session."""


def predict_file(
    request: PredictRequest, source: Path, output: Path, listener: Listener
) -> Outcome:
    """Write the rows of `source` with their answers as `output`; it appears when it is whole.

    Where the output is a link, the file at its end is written.

    A prediction that was killed goes on where it was, if nothing has changed since.

    Raises:
        UserError: for a folder that is no exported model, rows that cannot be read, an output that
            cannot be written or lies in its input.
    """
    place = checked_output(output, source)
    ending, output = ending_of(output), place
    model = read_model_file(request.model)
    check_asked(request, model)
    device = _device(request)
    found = open_input(source, model, request.columns)
    writer = writer_for(ending)
    seen = count(found, writer, request.chunk_rows)
    columns = columns_for(request, model, found.columns, writer.names)
    before = fingerprint(found.stream.files)
    with Part(output, _asked(request, found, before, device)) as part:
        predictor = None
        if part.chunks_done < seen.chunks:
            from r2d_ray.prediction.predictor import Predictor

            predictor = Predictor(request.model, model, device, request.batch_size)
        if model.warning:
            listener.say(model.warning)
        for line in input_lines(found, seen, writer.names, model):
            listener.say(line)
        if part.started_anew:
            listener.say("model, input or settings have changed: the answers so far are discarded")
        if predictor is not None:
            answer_rest(predictor, request, found, seen, part, listener)
        if fingerprint(found.stream.files) != before:
            raise UserError(f"--input {source}: it changed while it was read (run again)")
        with written(part.draft, ending) as file:
            outcome = write_all(request, found, part, writer, columns, file)
        with part.draft.open("rb") as whole:
            os.fsync(whole.fileno())
        part.draft.replace(output)
    return outcome


def answer_rest(
    predictor: Predictor,
    request: PredictRequest,
    found: Input,
    seen: Counted,
    part: Part,
    listener: Listener,
) -> None:
    """Keep the answers of every chunk that has none yet."""
    done = earlier = 0
    for number, chunk in enumerate(found.stream.chunks(request.chunk_rows)):
        done += len(chunk.records)
        if number < part.chunks_done:
            earlier = done
            continue
        if number == part.chunks_done and earlier:
            has = "has its answer" if earlier == 1 else "have their answers"
            listener.say(f"{counted(earlier, 'row')} {has} already")
        part.append(answers_of(predictor, chunk, found.columns, request))
        listener.done(done, seen.rows, earlier)


def answers_of(
    predictor: Predictor, chunk: Chunk, columns: Mapping[str, str], request: PredictRequest
) -> list[Answer]:
    """Return the answers to the rows of a chunk, in order."""
    rows = [example_of(record, columns) for record in chunk.records]
    if not rows:
        return []
    return predictor.answers(
        rows,
        abstain_below=request.abstain_below,
        refuse_long=request.long_inputs == "refuse",
    )


def write_all(
    request: PredictRequest,
    found: Input,
    part: Part,
    writer: Writer,
    columns: Sequence[Column],
    file: IO[bytes],
) -> Outcome:
    """Write every row with its answer; return what was written."""
    outcome = Outcome()
    writer.begin(file, columns)
    pairs = zip(found.stream.chunks(request.chunk_rows), part.answers(), strict=True)
    for chunk, answers in pairs:
        writer.write(chunk, answers)
        outcome.rows += len(answers)
        outcome.abstained += sum(answer.abstains(request.abstain_below) for answer in answers)
        outcome.by_costs += sum(answer.by_costs for answer in answers)
        outcome.cut += sum(answer.cut_tokens > 0 for answer in answers)
    writer.end()
    return outcome


def _device(request: PredictRequest) -> str:
    from r2d_ray.prediction.predictor import pick_device  # loads torch

    return pick_device(request.device)


def _asked(
    request: PredictRequest, found: Input, files: Mapping[str, Any], device: str
) -> dict[str, Any]:
    """Return everything on which the answers depend."""
    return {
        "version": __version__,
        "model": fingerprint(file for file in request.model.iterdir() if file.is_file()),
        "input": files,
        "columns": dict(found.columns),
        "batch_size": request.batch_size,
        "device": device,
        "abstain_below": request.abstain_below,
        "long_inputs": request.long_inputs,
    }
