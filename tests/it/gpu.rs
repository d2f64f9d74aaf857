//! Merges and gathers on GPUs, through a driver and an NCCL that have none: the bytes of the CPU and of TCP, and what is said where there
//! is no GPU.

use crate::harness::{Coordinator, Family, Run, Scratch, Size, Worker, WorkerSetup, command, finish};
use crate::same_bytes::Output;
use crate::train::training;
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
    for method in ["linear", "slerp", "dare_ties", "ties", "della", "ties_published"] {
        let recipe = scratch.write(&format!("{method}.yml"), family.recipe(method, 0.4));
        let recipe = recipe.to_str().unwrap();
        scratch.braid(["merge", recipe, &format!("{method}-cpu"), "--quiet"]).ok();
        let cpu = Output::read(&scratch.join(&format!("{method}-cpu")));

        let run = on_gpu(&scratch, &driver, &[], &[recipe, &format!("{method}-gpu"), "-v"]);
        assert!(run.stderr.contains("merges are computed on GPU 0 (fake) too"), "{run}");
        assert_eq!(run.code, Some(0), "{run}");
        assert_eq!(Output::read(&scratch.join(&format!("{method}-gpu"))), cpu, "{method}: on a GPU");

        // room for some tiles of two tensors, and not for those of three
        let run = on_gpu(&scratch, &driver, &[("BRAID_FAKE_MEMORY", "700000")], &[recipe, &format!("{method}-short")]);
        assert_eq!(run.code, Some(0), "{run}");
        assert_eq!(Output::read(&scratch.join(&format!("{method}-short"))), cpu, "{method}: on a GPU with little memory");

        // the questions that it is asked before take nine launches
        let lost = [("BRAID_FAKE_LAUNCHES", "10")];
        let run = on_gpu(&scratch, &driver, &lost, &[recipe, &format!("{method}-lost")]);
        // a copy that another thread asked for may be the first to hear of it
        let said = "merges go on on the CPU: GPU 0 (fake) has failed: cu";
        assert!(run.stderr.contains(said) && run.stderr.contains(": unspecified launch failure (719)"), "{run}");
        assert_eq!(run.code, Some(0), "{run}");
        assert_eq!(Output::read(&scratch.join(&format!("{method}-lost"))), cpu, "{method}: on a GPU that is lost");
    }
}

/// By a cuFile that reads as disks do, and that breaks on the way, or has no way at all.
#[test]
fn merges_of_files_that_a_gpu_reads_by_itself_have_the_bytes_of_the_cpu() {
    let scratch = Scratch::new();
    let libraries = scratch.join("libraries");
    std::fs::create_dir(&libraries).unwrap();
    shim::build_driver(&libraries).unwrap();
    shim::build_cufile(&libraries).unwrap();
    let family = Family::write(scratch.path(), FAMILY, 7);
    for method in ["linear", "slerp", "dare_ties", "ties", "breadcrumbs", "della", "model_stock"] {
        let recipe = scratch.write(&format!("{method}.yml"), family.recipe(method, 0.4));
        let recipe = recipe.to_str().unwrap();
        scratch.braid(["merge", recipe, &format!("{method}-cpu"), "--quiet"]).ok();
        let cpu = Output::read(&scratch.join(&format!("{method}-cpu")));
        let read = |name: &str, variables: &[(&str, &str)], said: &str| {
            let variables = [&[("BRAID_MERGE_ON", "gpudirect")], variables].concat();
            let out = format!("{method}-{name}");
            let run = on_gpu(&scratch, &libraries, &variables, &[recipe, &out, "-v"]);
            assert_eq!(run.code, Some(0), "{run}");
            assert_eq!(run.stderr.contains("read through") || run.stderr.contains("read by the CPU"), !said.is_empty(), "{run}");
            assert!(run.stderr.contains(said), "{run}");
            assert_eq!(Output::read(&scratch.join(&out)), cpu, "{method}, {name}");
        };
        read("direct", &[], "");
        let broken = "cannot be read by a GPU itself: cuFileRead: there is no direct way from this storage to a GPU";
        read("broken", &[("BRAID_FAKE_READS", "2")], broken);
        let none = "files are read through the processor's memory: cuFile cannot be used (cuFileDriverOpen: the module nvidia-fs";
        read("none", &[("BRAID_FAKE_STORAGE", "none")], none);
        let run = on_gpu(
            &scratch,
            &libraries,
            &[("BRAID_MERGE_ON", "gpudirect"), ("BRAID_FAKE_LAUNCHES", "14")],
            &[recipe, &format!("{method}-lost")],
        );
        assert_eq!(run.code, Some(0), "{run}");
        assert_eq!(Output::read(&scratch.join(&format!("{method}-lost"))), cpu, "{method}: a GPU that is lost");
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
    assert!(run.stderr.contains(r#"BRAID_MERGE_ON is "tpu", and may be cpu or gpu or gpudirect"#), "{run}");
}

/// Every kind of layer, large enough to be worth the way.
const TRAINING: &str = "documents: [texts]\ncontext: 256\nranks: 1\ntokens_per_rank: 256\nsteps: 2\nsequences_per_step: 2\n\
    model: { width: 16, heads: 2, head_dim: 96, mlp_width: 24, layers: [gla, softmax, delta_net, lightning, linear, gated_delta_net] }\n";

/// The losses of a training.
fn losses(scratch: &Scratch, out: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(scratch.join(out).join("losses.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap()).collect()
}

#[test]
fn attention_on_a_gpu_trains_as_on_the_cpu_but_for_rounding() {
    let scratch = training(2);
    scratch.write("train.yml", TRAINING);
    let [driver, both] = ["driver", "both"].map(|folder| scratch.join(folder));
    for folder in [&driver, &both] {
        std::fs::create_dir(folder).unwrap();
        shim::build_driver(folder).unwrap();
    }
    shim::build_blas(&both).unwrap();
    scratch.braid(["train", "train.yml", "cpu"]).ok();
    let cpu = losses(&scratch, "cpu");
    assert_eq!(cpu.len(), 2);
    let train = |libraries: &Path, launches: &str, out: &str| {
        let mut command = command(scratch.path());
        command.env("BRAID_TRAIN_ON", "gpu").env("LD_LIBRARY_PATH", libraries).env("BRAID_FAKE_LAUNCHES", launches);
        command.args(["train", "train.yml", out]);
        let run = finish(command);
        assert_eq!(run.code, Some(0), "{run}");
        for (step, (found, cpu)) in losses(&scratch, out).iter().zip(&cpu).enumerate() {
            assert!((found - cpu).abs() <= 1e-4 * cpu, "{out}, step {step}: {found} where {cpu} was expected");
        }
        run
    };
    let run = train(&both, "1000000", "gpu");
    assert!(!run.stderr.contains("CPU"), "{run}");
    let [whole, here] = ["gpu", "cpu"].map(|out| std::fs::read(scratch.join(out).join("model.safetensors")).unwrap());
    assert!(whole != here, "rounding is not the same, so that it was the GPU");

    let run = train(&driver, "1000000", "alone");
    assert!(run.stderr.contains("softmax attention of trainings is computed on the CPU: cuBLAS cannot be loaded ("), "{run}");

    // the questions that it is asked before take 21 launches
    let run = train(&both, "28", "lost");
    assert!(run.stderr.contains("trainings go on on the CPU: GPU 0 (fake) has failed: cu"), "{run}");
}

/// A gang of two workers on GPUs that are none, whose states are gathered by a library with NCCL's name: split groups, gathers beside the
/// computing, parts of different length.
#[test]
fn a_gang_that_gathers_over_nccl_trains_as_one_over_tcp_does() {
    let scratch = training(3);
    // a document over two ranks, with states that are large enough to be worth the way
    let spec = "documents: [texts]\ncontext: 512\nranks: 2\ntokens_per_rank: 256\nsteps: 3\nsequences_per_step: 2\n\
        model: { width: 16, heads: 2, head_dim: 96, mlp_width: 24, layers: [gla, softmax] }\n";
    scratch.write("train.yml", spec);
    let libraries = scratch.join("libraries");
    let meeting = scratch.join("meeting");
    for folder in [&libraries, &meeting] {
        std::fs::create_dir(folder).unwrap();
    }
    shim::build_driver(&libraries).unwrap();
    shim::build_nccl(&libraries).unwrap();
    let variables = [("BRAID_EXCHANGE", "nccl"), ("BRAID_LOG", "info")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let folders = [("LD_LIBRARY_PATH", &libraries), ("TMPDIR", &meeting)];
    let folders = folders.map(|(name, folder)| (name.to_owned(), folder.display().to_string()));
    for (out, environment) in [("tcp", Vec::new()), ("nccl", [variables, folders].concat())] {
        let coordinator = Coordinator::spawn(None);
        let worker =
            || Worker::start(coordinator.address(), WorkerSetup { environment: environment.clone(), ..WorkerSetup::default() });
        let workers = [worker(), worker()];
        coordinator.wait_for_nodes(2);
        coordinator.braid_in(scratch.path(), ["train", "train.yml", out]).ok();
        let logs = workers.map(|worker| worker.log()).concat();
        assert!(!logs.contains("gathers of this g"), "they went over TCP all the same: {logs}");
    }
    let file = |out: &str, name: &str| std::fs::read(scratch.join(out).join(name)).unwrap();
    for name in ["losses.jsonl", "model.safetensors"] {
        assert!(file("tcp", name) == file("nccl", name), "{name} has other bytes");
    }
    // what the first rank left in its first gather of a group
    let groups = std::fs::read_dir(&meeting).unwrap().flatten().filter(|entry| entry.path().join("1-0").exists());
    assert!(groups.count() > 0, "no gather went over NCCL");
}
