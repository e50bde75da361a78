"""The tables of a Study. Judgments and the audit are append-only: triggers refuse anything else.

    prompt ─< response ─< origin                 texts, once by content; who wrote them beside
       ├──< comparison ─< assignment          the question; who holds it, until when, which side
       │         └──────< judgment            the answer; an undo or edit supersedes it
       └──< panel ─< ranking ─< judgment      K responses ranked at once; the pairs that follow
    annotator ── identity (erasable), session, invitation
    rendering                                  the HTML of a text, by content; made once

A comparison's responses are in canonical orientation: `response_a` has the smaller content hash, so
the same two responses can never be two comparisons, whichever way round they come. What follows
from the tables by a rule is a view, so that the rule stands once: which judgments stand, which
texts a comparison shows, how far the study has come.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite numbers rows itself only where the key is INTEGER.
Key = BigInteger().with_variant(Integer, "sqlite")


def _key() -> Column[int]:
    return Column("id", Key, primary_key=True, autoincrement=True)


def _created() -> Column[float]:
    return Column("created_at", Float, nullable=False, default=time.time)


def _link(name: str, target: str, nullable: bool = False) -> Column[int]:
    return Column(name, Key, ForeignKey(f"{target}.id"), nullable=nullable)


study = Table(
    "study",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("settings", JSON, nullable=False),  # config.StudySettings
    Column("secret", String(64), nullable=False),  # signs cookies; never exported
    _created(),
)

guideline = Table(
    "guideline",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("markdown", Text, nullable=False),
    _created(),
)

prompt = Table(
    "prompt",
    metadata,
    _key(),
    Column("hash", String(32), nullable=False, unique=True),
    Column("messages", JSON, nullable=False),
)

response = Table(
    "response",
    metadata,
    _key(),
    _link("prompt", "prompt"),
    Column("hash", String(32), nullable=False),
    Column("messages", JSON, nullable=False),
    Column("characters", Integer, nullable=False),
    Column("words", Integer, nullable=False),
    UniqueConstraint("prompt", "hash"),
)

origin = Table(
    "origin",
    metadata,
    _key(),
    _link("response", "response"),
    Column("model", Text, nullable=False),
    Column("sampling", JSON, nullable=False),
    Column("hash", String(32), nullable=False),  # of model and sampling
    UniqueConstraint("response", "hash"),
)

# K responses to one prompt, to be ranked in one go. Its C(K,2) comparisons point to it; the one
# with the smallest hash is asked in the name of all, the others have no slots of their own.
panel = Table(
    "panel",
    metadata,
    _key(),
    Column("hash", String(32), nullable=False, unique=True),
    _link("prompt", "prompt"),
    Column("responses", JSON, nullable=False),  # ids, in the order of their hashes
    _created(),
)

comparison = Table(
    "comparison",
    metadata,
    _key(),
    Column("hash", String(32), nullable=False, unique=True),
    _link("prompt", "prompt"),
    _link("response_a", "response"),
    _link("response_b", "response"),
    # Asked in this order: random by content hash, or as the owner chose.
    Column("queue_position", Key, nullable=False),
    Column("overlap", Integer, nullable=False),
    # The overlap, less leases held and votes given; a late vote may push it below zero.
    Column("slots", Integer, nullable=False),
    # A skip or an expired lease has given a slot back: these are asked about first.
    Column("reopened", Boolean, nullable=False, default=False),
    Column("gold", String(4)),  # the certain answer, canonical: a, b or tie
    Column("gold_since", Float),  # judgments from before are no test of anyone
    Column("group", Text, nullable=False),  # prompt group, for splits
    Column("columns", JSON, nullable=False),
    _created(),
    # Asked no more, and in no figure or export; what was said of it stays stored.
    Column("withdrawn_at", Float),
    _link("replaces", "comparison", nullable=True),  # the version before an owner's edit
    # The newest judgment that an owner has seen when keeping what was skipped or reported.
    Column("reviewed_until", Key),
    # A practice pair: its gold answer is explained to whoever begins; in no figure or export.
    Column("explanation", Text),
    Column("explained_left", String(1)),  # a or b: the response that the explanation calls A
    # Drawn at random to be asked of several people: what agreement is measured on.
    Column("agreement", Boolean, nullable=False, default=False, server_default=false()),
    _link("panel", "panel", nullable=True),
)
# Spelled out in queries too: a partial index serves no query whose condition is a parameter.
OPEN = text("comparison.slots > 0")
REOPENED = text("comparison.reopened")
IS_GOLD = text("comparison.gold IS NOT NULL")
LEASED = text("assignment.state = 'leased'")
# In no figure or export: withdrawn, or for practice.
OUT = text("comparison.withdrawn_at IS NOT NULL OR comparison.explanation IS NOT NULL")


def _partial(name: str, first: Column[Any], second: Column[Any], condition: str) -> None:
    """An index of the rows that meet a condition only."""
    where = text(condition)
    Index(name, first, second, sqlite_where=where, postgresql_where=where)


for _name, _condition in (
    ("ix_comparison_open", "slots > 0"),
    ("ix_comparison_reopened", "reopened"),
    ("ix_comparison_gold", "gold IS NOT NULL"),
    ("ix_comparison_out", "withdrawn_at IS NOT NULL OR explanation IS NOT NULL"),
):
    _partial(_name, comparison.c.queue_position, comparison.c.id, _condition)
_partial("ix_comparison_replaces", comparison.c.replaces, comparison.c.id, "replaces IS NOT NULL")

annotator = Table(
    "annotator",
    metadata,
    _key(),
    Column("pseudonym", String(80), nullable=False, unique=True),
    Column("role", String(12), nullable=False),  # owner, annotator, viewer, or imported
    Column("active", Boolean, nullable=False, default=True),
    # Where the search for an open comparison continues; see assignment.Place.
    Column("queue_position", Key, nullable=False, default=0),
    Column("judged", Integer, nullable=False, default=0),  # votes given
    Column("preferences", JSON, nullable=False, default=dict),
    _created(),
    # Taken out by an owner: the judgments stay stored, and count in no figure or export.
    Column("excluded_at", Float),
    # Held by a rule until an owner decides; `stop_reason` says which and why.
    Column("stopped_at", Float),
    Column("stop_reason", Text, nullable=False, default="", server_default=""),
    Column("resumed_at", Float),  # judgments from before are no reason to stop again
    Column("guideline_seen", Integer, nullable=False, default=0, server_default="0"),  # version
    Column("consented_at", Float),
    Column("searched_to", Key, nullable=False, default=0, server_default="0"),  # a comparison's id
    Column("device", String(64)),  # hash of the browser's token: one browser is one person
    Column("return_hash", String(64)),  # of the personal return link's token
)
Index("ix_annotator_device", annotator.c.device)
Index("uq_annotator_return_hash", annotator.c.return_hash, unique=True)

identity = Table(
    "identity",
    metadata,
    Column("annotator", Key, ForeignKey("annotator.id"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", String(254), unique=True),
    Column("password", Text),  # argon2
    # Who they are to a platform that sent them, such as PROLIFIC_PID and its value.
    Column("platform", Text),
    Column("external_id", Text),
)
Index("uq_identity_platform", identity.c.platform, identity.c.external_id, unique=True)

session = Table(
    "session",
    metadata,
    Column("hash", String(64), primary_key=True),  # of the cookie's token
    _link("annotator", "annotator"),
    Column("expires_at", Float, nullable=False),
)

invitation = Table(
    "invitation",
    metadata,
    _key(),
    Column("hash", String(64), nullable=False, unique=True),  # of the link's token
    Column("role", String(12), nullable=False),
    Column("uses", Integer, nullable=False),  # left
    Column("expires_at", Float, nullable=False),
    _created(),
    # The way back in for this person, with a new password where they have an account.
    _link("annotator", "annotator", nullable=True),
    Column("needs_account", Boolean, nullable=False, default=False, server_default=false()),
    # The query parameter that carries a platform's ID, such as PROLIFIC_PID.
    Column("platform", Text),
)

assignment = Table(
    "assignment",
    metadata,
    _key(),
    Column("token", String(32), nullable=False, unique=True),  # all that the browser sees
    _link("comparison", "comparison"),
    _link("annotator", "annotator"),
    Column("kind", String(16), nullable=False),  # vote, or retest: the same with sides swapped
    Column("left", String(1), nullable=False),  # a or b: the response shown on the left
    Column("state", String(16), nullable=False),  # leased, done, skipped, expired
    Column("leased_until", Float, nullable=False),
    Column("issued_at", Float, nullable=False),
    UniqueConstraint("annotator", "comparison", "kind"),
)
_leased = "state = 'leased'"
_partial("ix_assignment_leased", assignment.c.leased_until, assignment.c.id, _leased)
_partial("ix_assignment_held", assignment.c.annotator, assignment.c.id, _leased)
_expired = "state = 'expired'"
_partial("ix_assignment_expired", assignment.c.annotator, assignment.c.id, _expired)
Index("ix_assignment_comparison", assignment.c.comparison)

ranking = Table(
    "ranking",
    metadata,
    _key(),
    _link("panel", "panel"),
    _link("annotator", "annotator"),
    _link("assignment", "assignment", nullable=True),
    Column("tiers", JSON, nullable=False),  # lists of response ids, the best first; ties share one
    _created(),
)
Index("ix_ranking_panel", ranking.c.panel)

judgment = Table(
    "judgment",
    metadata,
    _key(),
    Column("key", String(64), nullable=False, unique=True),  # a retried request is one vote
    _link("comparison", "comparison"),
    _link("annotator", "annotator"),
    _link("assignment", "assignment", nullable=True),
    Column("kind", String(16), nullable=False),  # vote, retest, imported, resolution
    Column("answer", String(16), nullable=False),  # a, b, tie, both_bad, skip, withdrawn
    Column("strength", Integer),  # 1 to 3
    Column("left", String(1)),
    Column("reasons", JSON, nullable=False, default=list),
    Column("rationale", Text, nullable=False, default=""),
    Column("report", Text, nullable=False, default=""),  # a problem with the question itself
    Column("active_ms", Integer),
    Column("wall_ms", Integer),
    Column("first_input_ms", Integer),
    Column("guideline", Integer),
    Column("late", Boolean, nullable=False, default=False),
    _link("supersedes", "judgment", nullable=True),
    _created(),
    # The probability that a is better, where data brought one; `answer` is its side.
    Column("p", Float),
    # Answers to further questions: {"harmless": {"answer": "a", "strength": 2}}, canonical.
    Column("criteria", JSON, nullable=False, default=dict, server_default="{}"),
    _link("ranking", "ranking", nullable=True),  # the ranking that this pair follows from
    UniqueConstraint("supersedes"),
    CheckConstraint("kind IN ('vote', 'retest', 'imported', 'resolution')", name="kind"),
    CheckConstraint("answer IN ('a', 'b', 'tie', 'both_bad', 'skip', 'withdrawn')", name="answer"),
    CheckConstraint("strength IS NULL OR strength BETWEEN 1 AND 3", name="strength"),
    CheckConstraint("p IS NULL OR kind = 'imported' AND p BETWEEN 0 AND 1", name="p"),
)
Index("ix_judgment_comparison", judgment.c.comparison)
Index("ix_judgment_assignment", judgment.c.assignment)
Index("ix_judgment_annotator", judgment.c.annotator, judgment.c.id)
PROBLEM = "answer = 'skip' OR report <> ''"  # what an owner is asked to look at
_partial("ix_judgment_problem", judgment.c.id, judgment.c.comparison, PROBLEM)

rendering = Table(
    "rendering",
    metadata,
    Column("hash", String(32), primary_key=True),  # of the messages and how they are shown
    Column("version", Integer, nullable=False),  # of the renderer: an older one renders again
    Column("messages", JSON, nullable=False),  # [{"role", "html"}, …]
)

audit = Table(
    "audit",
    metadata,
    _key(),
    Column("at", Float, nullable=False, default=time.time),
    Column("actor", String(80), nullable=False),  # a pseudonym, or "command line"
    Column("verb", String(40), nullable=False),
    Column("details", JSON, nullable=False),
)

# -------------------------------------------------------------------------- views
# Made by the migrations, never by create_all: hence a collection of their own.

views = MetaData()


def _columns(table: Table) -> list[Column[Any]]:
    return [Column(column.name, column.type) for column in table.c]


# Judgments that count: neither superseded nor withdrawn, by nobody who was taken out, of a
# comparison that is neither withdrawn nor for practice.
standing = Table("standing", views, *_columns(judgment))

# A comparison with its prompt and responses, and their sizes.
comparison_text = Table(
    "comparison_text",
    views,
    *_columns(comparison),
    *(Column(f"{name}_messages", JSON) for name in ("prompt", "a", "b")),
    *(Column(name, Integer) for name in ("a_characters", "b_characters", "a_words", "b_words")),
)

# What a person said last of each comparison, whether it counts or not.
latest = Table("latest", views, *_columns(judgment))

# One row: comparisons, gold ones, complete ones, and judgments remaining. Withdrawn and practice
# comparisons are none; a panel is one.
progress = Table(
    "progress",
    views,
    *(Column(name, Key) for name in ("comparisons", "gold", "complete", "remaining")),
)
