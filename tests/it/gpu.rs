//! Merges of the command on a GPU, through a driver that has none: the bytes of the CPU, and what is said where there is no GPU.

use crate::harness::{Family, Run, Scratch, Size, command, finish};
use crate::same_bytes::Output;
use braid_gpu::shim;
use std::path::Path;

/// Two of its tensors are large enough to be worth the way.
const FAMILY: Size = Size { layers: 1, hidden: 272, vocabulary: 300, experts: 2, shards: 1 };

/// A merge on the GPU of the driver in `libraries`.
fn on_gpu(scratch: &Scratch, libraries: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = command(scratch.path());
    command.env("BRAID_MERGE_ON", "gpu").env("LD_LIBRARY_PATH", libraries).envs(variables.iter().copied()).arg("merge");
    command.args(arguments);
    finish(command)
}

#[test]
fn merges_on_a_gpu_have_the_bytes_of_the_cpu() {
    let scratch = Scratch::new();
    let driver = scratch.join("driver");
    std::fs::create_dir(&driver).unwrap();
    shim::build_driver(&driver).unwrap();
    let family = Family::write(scratch.path(), FAMILY, 5);
    for method in ["linear", "slerp", "dare_ties"] {
        let recipe = scratch.write(&format!("{method}.yml"), family.recipe(method, 0.4));
        let recipe = recipe.to_str().unwrap();
        scratch.braid(["merge", recipe, &format!("{method}-cpu"), "--quiet"]).ok();
        let cpu = Output::read(&scratch.join(&format!("{method}-cpu")));

        let run = on_gpu(&scratch, &driver, &[], &[recipe, &format!("{method}-gpu"), "-v"]);
        assert!(run.stderr.contains("merges are computed on GPU 0 (fake) too"), "{run}");
        assert_eq!(run.code, Some(0), "{run}");
        assert_eq!(Output::read(&scratch.join(&format!("{method}-gpu"))), cpu, "{method}: on a GPU");

        // the questions that it is asked before take six launches
        let lost = [("BRAID_FAKE_LAUNCHES", "7")];
        let run = on_gpu(&scratch, &driver, &lost, &[recipe, &format!("{method}-lost")]);
        // a copy that another thread asked for may be the first to hear of it
        let said = "merges go on on the CPU: GPU 0 (fake) has failed: cu";
        assert!(run.stderr.contains(said) && run.stderr.contains(": unspecified launch failure (719)"), "{run}");
        assert_eq!(run.code, Some(0), "{run}");
        assert_eq!(Output::read(&scratch.join(&format!("{method}-lost"))), cpu, "{method}: on a GPU that is lost");
    }
}

#[test]
fn a_machine_without_a_gpu_says_so_and_merges_on_the_cpu() {
    let scratch = Scratch::new();
    let family = Family::write(scratch.path(), FAMILY, 6);
    let recipe = scratch.write("recipe.yml", family.recipe("linear", 1.0));
    let recipe = recipe.to_str().unwrap();
    let libraries = scratch.join("libraries");
    std::fs::create_dir(&libraries).unwrap();
    let run = on_gpu(&scratch, &libraries, &[], &[recipe, "none"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("merges are computed on the CPU: libcuda cannot be loaded (libcuda.so.1: "), "{run}");

    std::fs::write(libraries.join("libcuda.so.1"), "no library").unwrap();
    let run = on_gpu(&scratch, &libraries, &[], &[recipe, "broken"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("merges are computed on the CPU: libcuda cannot be loaded ("), "{run}");
    assert_eq!(Output::read(&scratch.join("none")), Output::read(&scratch.join("broken")));

    let run = on_gpu(&scratch, &libraries, &[("BRAID_MERGE_ON", "tpu")], &[recipe, "wrong"]);
    assert_eq!(run.code, Some(2), "{run}");
    assert!(run.stderr.contains(r#"BRAID_MERGE_ON is "tpu", and may be cpu or gpu"#), "{run}");
}
