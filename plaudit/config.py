"""Settings of the verbs and of a study: flags, file and Python call are one class each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_network
from typing import Any, Literal

from plaudit.errors import UsageError

BAD_SHARE = 0.10  # of the rows: with more bad ones a verb stops, or ends with exit code 1


def known_names(
    flag: str, given: Iterable[str], known: Collection[str], what: str
) -> tuple[str, ...]:
    """The names given, each by itself or several as NAME,NAME.

    Raises UsageError on one that is not known, with those that are.
    """
    found: list[str] = []
    for item in given:
        parts = [item] if item in known else [part.strip() for part in item.split(",")]
        if wrong := [part for part in parts if part not in known]:
            listed = ", ".join(sorted(known)) or "none"
            raise UsageError(
                f"{flag} {', '.join(wrong)}: no {what} of this name; there are: {listed}"
            )
        found += parts
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How DATA is read, by every verb that reads it."""

    format: str | None = None
    """Format of DATA, detected when not given."""
    columns: str | None = None
    """Columns of other layouts: prompt=question,response_a=answer_1,response_b=answer_2."""
    label_values: str | None = None
    """What the values of the label column mean: 0=a,1=b,2=tie."""
    split: str | None = None
    """Split of a Hugging Face data set, or sheet of a workbook."""

    def reading(self) -> dict[str, Any]:
        """These settings as keywords of `data.read`."""
        return {field.name: getattr(self, field.name) for field in fields(DataConfig)}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """How a MODEL is run, by every verb that scores. Raises UsageError on unusable values."""

    max_length: int | None = None
    """Tokens of a conversation; the model's own limit when not given. Every cut is counted."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the pass; auto takes the faster here, float32 is exact on every machine."""
    device: str = "auto"
    """Where the model runs: auto, cpu, cuda, cuda:N or mps."""
    template: str | None = None
    """The name of one of several chat templates, or plain."""
    input: Literal["pair", "text"] | None = None
    """How an encoder is given a conversation: pair (prompt, response) or text."""

    def __post_init__(self) -> None:
        _check_length(self.max_length)

    def loading(self) -> dict[str, Any]:
        """These settings as keywords of `plaudit.load`."""
        values = {field.name: getattr(self, field.name) for field in fields(ModelConfig)}
        return values | {"dtype": None if self.dtype == "auto" else self.dtype}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataConfig):
    """What `train` can be told. Raises UsageError on a value that cannot be used."""

    base: str = "smollm2"
    """The SFT model to start from: smollm2, a folder, a .gguf file or a hub id."""
    tune: Literal["head"] = "head"
    """What is trained: the head, on a frozen backbone."""
    layer: str = "auto"
    """The backbone's last layer: auto (cross-validated), last, or a number."""
    test: str | None = None
    """Held-out DATA; without it a share of the prompts is held out."""
    test_share: float | None = None
    """Share of the prompts held out where no test data is given. When not given: under 1,000
    pairs five folds are cross-validated, of more a fifth is held out."""
    refit: bool = True
    """Fit the saved head on all rows, after the held-out numbers are taken."""
    max_length: int = 2048
    """Tokens of a conversation; of longer ones the oldest messages are cut, never the end."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the pass; auto measures both on this machine and takes the faster."""
    device: str = "auto"
    """Where the backbone runs: auto, cpu, cuda, cuda:N or mps."""
    template: str | None = None
    """The name of one of the base's chat templates, or plain."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", str(self.layer))  # a number in Python
        if self.layer not in ("auto", "last") and not self.layer.isdigit():
            raise UsageError(f"--layer must be auto, last or a number, found {self.layer!r}")
        share = self.test_share
        if share is not None and not (isinstance(share, float) and 0 < share <= 0.5):
            raise UsageError(f"--test-share must be a number in (0, 0.5], found {share!r}")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise UsageError(f"--dtype must be auto, float32 or bfloat16, found {self.dtype!r}")
        if not self.base or not isinstance(self.base, str):
            raise UsageError(f"--base must be smollm2, a folder or a hub id, found {self.base!r}")
        _check_length(self.max_length)
        if self.tune != "head":
            raise UsageError(f"--tune must be head, found {self.tune!r}")


@dataclass(frozen=True, kw_only=True)
class CheckConfig(DataConfig):
    """What `check` can be told. Raises UsageError on a value that cannot be used."""

    base: str | None = None
    """Also count tokens, shared prefixes and cuts with this base's tokenizer."""
    max_length: int = 2048
    """Tokens of a conversation, with --base."""

    def __post_init__(self) -> None:
        _check_length(self.max_length)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(DataConfig, ModelConfig):
    """What `evaluate` can be told. Raises UsageError on a value that cannot be used."""

    against: str | None = None
    """A second MODEL: the paired difference on the same pairs."""
    probes: bool = False
    """Also score manipulated responses: repeated, flattering, refusing and so on."""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(ModelConfig):
    """What `score` can be told. Raises UsageError on a value that cannot be used."""

    columns: str | None = None
    """Columns of other layouts: prompt=question,response=answer."""
    split: str | None = None
    """Split of a Hugging Face data set."""
    pairs: bool = False
    """Of two responses also the `probability` that the first beats the second."""
    best_of: bool = False
    """Of several responses also the `probability` that the `best` one is the best."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pairs and self.best_of:
            raise UsageError("--pairs and --best-of both give `probability`: take one of them")


def _check_length(max_length: int | None) -> None:
    if max_length is not None and max_length < 16:
        raise UsageError(f"--max-length must be at least 16, found {max_length}")


REASONS = (
    "more correct",
    "follows the request",
    "more complete",
    "clearer",
    "better tone",
    "safer",
    "more concise",
)

Pairing = Literal["all", "ring", "one", "rank"]
LabelUse = Literal["import", "gold", "practice", "ignore"]
Mask = Literal["pii", "models"]
StopRule = Literal["gold", "fast"]


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """How a study asks; kept in the study, changed on its owner's page."""

    name: str = "Which response is better?"
    question: str = "Which response would you rather have got?"
    mode: Literal["fast", "graded"] = "fast"
    """fast: one key per comparison; graded: seven levels, then Enter."""
    overlap: int = 1
    """People asked about each comparison: at equal numbers of judgments, more comparisons teach
    more than more judgments of each."""
    agreement_share: float = 0.1
    """Share of the comparisons, drawn at random, that several people are asked about: what
    agreement and the model of the annotators rest on."""
    agreement_overlap: int = 3
    """People asked about each of those."""
    lease_seconds: int = 900
    """How long a comparison is held for one person; working on it renews that."""
    gold_rate: float = 0.04
    """Share of questions whose answer is known, where the study has any."""
    retest_rate: float = 0.03
    """Share of a person's own earlier comparisons, asked again with the sides swapped."""
    retest_after: int = 50
    """Comparisons between a question and its retest."""
    gold_floor: float = 0.7
    """An annotator whose gold accuracy is significantly below this is flagged."""
    stop_rules: tuple[StopRule, ...] = ()
    """What ends an annotator's work until an owner decides: gold (accuracy significantly below
    the floor), fast (faster than reading speed)."""
    quota: int = 0
    """Most judgments one annotator may give; 0 for no limit."""
    criteria: tuple[str, ...] = ()
    """Further questions about each comparison, such as helpful and harmless."""
    prompt_format: Literal["plain", "markdown"] = "plain"
    """How a person's prompt is shown: as it was typed, or as Markdown."""
    columns_shown: tuple[str, ...] = ()
    """Columns of the data that annotators see beside a comparison."""
    consent: str = ""
    """Markdown that a person agrees to before the first comparison."""
    completion_code: str = ""
    """Code shown to whoever has finished, as Prolific and similar ask for."""
    completion_url: str = ""
    """Where whoever has finished is sent; an https:// address."""
    reasons: tuple[str, ...] = REASONS
    """What an annotator can choose as reasons."""
    license_prompts: str = ""
    license_responses: str = ""
    license_judgments: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> StudySettings:
        """Settings as JSON holds them: its lists are tuples here."""
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**given)

    def __post_init__(self) -> None:
        if self.mode not in ("fast", "graded"):
            raise UsageError(f"mode must be fast or graded, found {self.mode!r}")
        if not 1 <= self.overlap <= 100:
            raise UsageError(f"overlap must lie in 1 to 100, found {self.overlap}")
        if not 5 <= self.lease_seconds <= 7 * 86400:
            raise UsageError(
                f"lease_seconds must lie in 5 to 604,800 (a week), found {self.lease_seconds}"
            )
        if self.retest_after < 0:
            raise UsageError(f"retest_after must be at least 0, found {self.retest_after}")
        if not 1 <= self.agreement_overlap <= 100:
            raise UsageError(
                f"agreement_overlap must lie in 1 to 100, found {self.agreement_overlap}"
            )
        if not 0 <= self.agreement_share <= 1:
            raise UsageError(f"agreement_share must lie in [0, 1], found {self.agreement_share}")
        if self.quota < 0:
            raise UsageError(f"quota must be at least 0, found {self.quota}")
        if unknown := set(self.stop_rules) - {"gold", "fast"}:
            raise UsageError(f"stop_rules takes gold and fast, found {', '.join(sorted(unknown))}")
        if self.prompt_format not in ("plain", "markdown"):
            raise UsageError(
                f"prompt_format must be plain or markdown, found {self.prompt_format!r}"
            )
        if self.completion_url and not self.completion_url.startswith("https://"):
            raise UsageError(
                f"completion_url must start with https://, found {self.completion_url!r:.80}"
            )
        for name in ("gold_rate", "retest_rate"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise UsageError(f"{name} must lie in [0, 0.5], found {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class AddConfig(DataConfig):
    """What `add` can be told. Raises UsageError on a value that cannot be used."""

    pairing: Pairing = "all"
    """Pairs of K responses: all, each with the next (ring), or one pair per prompt; rank asks for
    a ranking of all in one go."""
    labels: LabelUse = "import"
    """Labels in DATA: import them as judgments, make them gold answers, or ignore them; practice
    makes practice pairs, explained to whoever begins by the text in the column `explanation`."""
    overlap: int | None = None
    """People asked about each comparison added; the study's setting when not given."""
    mask: tuple[Mask, ...] = ()
    """Mask e-mail addresses, numbers and keys (pii), or names of models (models), in texts and
    kept columns; a clear copy that the study has is replaced."""
    keep: tuple[str, ...] = ()
    """Columns of DATA to keep: NAME,NAME; without a mask all are kept when not given."""
    in_order: bool = False
    """Ask in the order of DATA instead of a random one, before all others."""

    def __post_init__(self) -> None:
        if self.pairing not in ("all", "ring", "one", "rank"):
            raise UsageError(f"--pairing must be all, ring, one or rank, found {self.pairing!r}")
        if self.pairing == "rank" and self.labels in ("gold", "practice"):
            raise UsageError(f"--pairing rank cannot be used with --labels {self.labels}")
        if self.labels not in ("import", "gold", "practice", "ignore"):
            raise UsageError(
                f"--labels must be import, gold, practice or ignore, found {self.labels!r}"
            )
        if self.overlap is not None and not 0 <= self.overlap <= 100:
            raise UsageError(f"--overlap must lie in 0 to 100, found {self.overlap}")
        if unknown := set(self.mask) - {"pii", "models"}:
            raise UsageError(f"--mask takes pii and models, found {', '.join(sorted(unknown))}")


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Where `collect` serves. Raises UsageError on a value that cannot be used."""

    host: str = "127.0.0.1"
    """Address to listen on; the loopback address is reached from this machine only."""
    port: int = 8700
    """Port to listen on."""
    root_path: str = ""
    """Path under which a reverse proxy shows the app, such as /judging."""
    https: bool = False
    """People reach the app by https (through a proxy): cookies are then sent by https only."""
    host_name: tuple[str, ...] = ()
    """Names by which people reach the app, such as judging.example.org, beside the loopback names
    and the address it listens on; requests for any other name are refused."""
    trusted_proxy: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies, whose X-Forwarded headers are believed."""

    def __post_init__(self) -> None:
        for proxy in self.trusted_proxy:
            try:
                ip_network(proxy, strict=False)
            except ValueError as error:
                raise UsageError(
                    f"--trusted-proxy takes addresses or networks, such as 10.0.0.5 or "
                    f"10.0.0.0/24, found {proxy!r}"
                ) from error
        for name in self.host_name:
            if not name or any(letter in name for letter in " /@?#") or name.count(":") == 1:
                raise UsageError(
                    f"--host-name takes names without scheme and port, such as "
                    f"judging.example.org, found {name!r}"
                )
        if not 0 <= self.port < 65536:
            raise UsageError(f"--port must lie in 0 to 65535, found {self.port}")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise UsageError(
                f"--root-path must start with / and not end with it, found {self.root_path!r}"
            )


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What `export` can be told. Raises UsageError on a value that cannot be used."""

    format: Literal["pairs", "trl", "raw", "dataset", "csv"] = "pairs"
    """pairs (vote shares), trl (chosen, rejected, margin), raw (every judgment), dataset (a
    Hugging Face folder of the pairs with its card), csv (a judgment per row, for a spreadsheet)."""
    aggregate: str = "auto"
    """How votes become the probability that a is better: auto (the best on real votes), or a
    name of statistics.aggregation.MODELS."""
    test_share: float = 0.0
    """Share of the prompts written to a test file, split as `train` splits them."""
    without: tuple[str, ...] = ()
    """Annotators whose judgments are left out: NAME,NAME."""
    only: tuple[str, ...] = ()
    """Annotators whose judgments alone are exported: NAME,NAME."""
    excluded: tuple[str, ...] = ()
    """Annotators taken out of the study whose judgments are exported all the same: NAME,NAME."""
    keep: tuple[str, ...] = ()
    """Columns of the data to export: NAME,NAME; when not given all, of a data set folder none."""
    gold: bool = False
    """Export gold comparisons too."""
    min_votes: int = 1
    """Comparisons with fewer judgments are left out."""

    def __post_init__(self) -> None:
        if self.format not in ("pairs", "trl", "raw", "dataset", "csv"):
            raise UsageError(
                f"--format must be pairs, trl, raw, dataset or csv, found {self.format!r}"
            )
        if self.format == "raw" and (self.excluded or self.keep):
            raise UsageError("--format raw has everything: it takes neither --excluded nor --keep")
        if self.format in ("raw", "csv") and (
            self.test_share or self.min_votes > 1 or self.aggregate != "auto"
        ):
            raise UsageError(
                f"--format {self.format} writes single judgments: --test-share, --min-votes and "
                "--aggregate are for the other formats"
            )
        if not 0 <= self.test_share < 1:
            raise UsageError(f"--test-share must lie in [0, 1), found {self.test_share}")
        if self.min_votes < 1:
            raise UsageError(f"--min-votes must be at least 1, found {self.min_votes}")
