"""Models compiled to machine code: LightGBM's scores to the bit, in a fraction of the time.

text         what the text of a model says
generate     from there to the language of LLVM
code         to machine code, and that as a `Scorer`
parity       whether it says what LightGBM says
activate     a bundle that answers by it
identity     what a piece of code was made of, by what and for which processor
cache        where it is kept, and when it may be loaded
compilation  a process of its own that makes it (`python -m models.compiled`)

Only `code` and `activate` import llvmlite, which is an extra.
"""
