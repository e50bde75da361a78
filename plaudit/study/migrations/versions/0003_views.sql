CREATE VIEW latest AS
SELECT judgment.*
FROM judgment
WHERE judgment.answer <> 'withdrawn'
  AND NOT EXISTS (SELECT 1 FROM judgment AS later WHERE later.supersedes = judgment.id)

CREATE VIEW standing AS
SELECT latest.*
FROM latest
JOIN annotator ON annotator.id = latest.annotator
JOIN comparison ON comparison.id = latest.comparison
WHERE annotator.excluded_at IS NULL
  AND comparison.withdrawn_at IS NULL
  AND comparison.explanation IS NULL

CREATE VIEW comparison_text AS
SELECT comparison.*,
       prompt.messages AS prompt_messages,
       a.messages AS a_messages,
       b.messages AS b_messages,
       a.characters AS a_characters,
       b.characters AS b_characters,
       a.words AS a_words,
       b.words AS b_words
FROM comparison
JOIN prompt ON prompt.id = comparison.prompt
JOIN response AS a ON a.id = comparison.response_a
JOIN response AS b ON b.id = comparison.response_b

CREATE VIEW progress AS
SELECT every.n AS comparisons,
       golden.n AS gold,
       every.n - golden.n - unfinished.n - held.last_slots AS complete,
       unfinished.slots + held.n AS remaining
FROM (
    SELECT count(*) AS n FROM comparison
    WHERE withdrawn_at IS NULL AND explanation IS NULL AND (panel IS NULL OR overlap > 0)
) AS every
CROSS JOIN (
    SELECT count(*) AS n FROM comparison
    WHERE gold IS NOT NULL AND withdrawn_at IS NULL AND explanation IS NULL
) AS golden
CROSS JOIN (
    SELECT count(*) AS n, CAST(coalesce(sum(slots), 0) AS BIGINT) AS slots
    FROM comparison WHERE slots > 0
) AS unfinished
CROSS JOIN (
    SELECT count(*) AS n,
           count(DISTINCT CASE WHEN comparison.slots <= 0 THEN comparison.id END) AS last_slots
    FROM assignment
    JOIN comparison ON comparison.id = assignment.comparison
    WHERE assignment.state = 'leased' AND assignment.kind = 'vote'
      AND comparison.gold IS NULL AND comparison.withdrawn_at IS NULL
) AS held
