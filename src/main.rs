//! Arguments to `cli`; no logic.

fn main() {}
