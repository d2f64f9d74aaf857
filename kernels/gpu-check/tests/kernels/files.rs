//! Files that a device reads by itself, which here is this process.

use braid_gpu::{Lane, Storage};
use braid_gpu_check::files_are_read_where_they_begin;

use crate::shim;

#[test]
fn files_are_read_where_they_begin_and_not_past_their_end() {
    let scratch = tempfile::tempdir().unwrap();
    files_are_read_where_they_begin(&mut Lane::new(&shim()).unwrap(), &Storage::plain(), scratch.path()).unwrap();
}
