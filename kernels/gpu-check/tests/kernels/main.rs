//! The `.cu` files against their CPU forms, compiled as C++ with the sanitizers.

// clippy.toml allows these in tests, which it takes the helpers of an integration test not to be.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod files;
mod orders;
mod refusals;

use std::{path::Path, sync::LazyLock};

use braid_gpu::shim::Shim;

static SHIM: LazyLock<Shim> =
    LazyLock::new(|| Shim::build(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a C++ compiler with the sanitizers"));

fn shim() -> Shim {
    SHIM.clone()
}
