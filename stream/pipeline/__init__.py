"""The stages of scoring, in order: pure functions over a batch.

====================  ==========================================================================
`decode`, `validate`  bytes become events; what cannot is `Rejected` and goes to the dead letters
`enrich`              rows from the store, united with what it does not know yet
`score`               features, and the best model that can answer; the rules when none can
`decide`              the policy over score, fields and features
`encode`              the prediction as bytes
====================  ==========================================================================

Nothing here reads a clock or knows a client library; `stream.engine` does the I/O around it.
"""
