PRAGMA writable_schema = ON

UPDATE sqlite_master SET sql = replace(sql, ' pk_reply ', ' pk_response ') WHERE name = 'response'

UPDATE sqlite_master SET sql = replace(sql, ' fk_reply_prompt_prompt ', ' fk_response_prompt_prompt ') WHERE name = 'response'

UPDATE sqlite_master SET sql = replace(sql, ' uq_reply_prompt_hash ', ' uq_response_prompt_hash ') WHERE name = 'response'

UPDATE sqlite_master SET sql = replace(sql, ' fk_origin_reply_reply ', ' fk_origin_response_response ') WHERE name = 'origin'

UPDATE sqlite_master SET sql = replace(sql, ' uq_origin_reply_hash ', ' uq_origin_response_hash ') WHERE name = 'origin'

UPDATE sqlite_master SET sql = replace(sql, ' fk_comparison_reply_a_reply ', ' fk_comparison_response_a_response ') WHERE name = 'comparison'

UPDATE sqlite_master SET sql = replace(sql, ' fk_comparison_reply_b_reply ', ' fk_comparison_response_b_response ') WHERE name = 'comparison'

PRAGMA writable_schema = RESET
