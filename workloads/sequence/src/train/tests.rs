//! Whole trainings on ranks that are threads: the loss falls, a stopped one goes on as if it had not been, a lost rank ends the others.

use super::{
    TrainError, TrainJob, TrainSpec,
    rank::{self, Outcome},
};
use braid_workload::{AttemptId, Exchange, JobId, Progress, TaskContext, exchange::local};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

const TEXT: &str = "the quick brown fox jumps over the lazy dog; pack my box with five dozen liquor jugs. ";

fn job(folder: &Path, ranks: u32, steps: u64) -> TrainJob {
    let texts = folder.join("texts");
    if !texts.exists() {
        fs::create_dir(&texts).unwrap();
        for (number, length) in [400, 30, 90, 160, 12, 700].into_iter().enumerate() {
            let text: String = TEXT.chars().cycle().skip(number * 5).take(length).collect();
            fs::write(texts.join(format!("{number}.txt")), text).unwrap();
        }
    }
    let text = format!(
        "documents: [texts]\ncontext: 128\nmodel: {{ width: 16, heads: 2, head_dim: 8, mlp_width: 24, layers: [gla, softmax] }}\n\
         ranks: {ranks}\ntokens_per_rank: 128\nsteps: {steps}\nsequences_per_step: 4\ncheckpoint_every: 4\n\
         optimizer: {{ lr: 1e-2, warmup: 3 }}\n"
    );
    TrainJob::new(TrainSpec::parse("t.yml", &text).unwrap().beside(folder), folder.join("out")).unwrap()
}

fn context(cancel: CancellationToken, log: impl Fn(&str) + Send + Sync + 'static) -> TaskContext {
    TaskContext {
        task: JobId(1).task(0),
        attempt: AttemptId(1),
        cancel,
        progress: Arc::new(Progress::default()),
        log: Arc::new(move |line| log(&line.text)),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
        memory: 0,
        gpus: Vec::new(),
        membership: None,
    }
}

/// Runs all ranks; those of which `stop` says so are told to stop after so many steps.
fn train(job: &TrainJob, stop: Option<u64>) -> Vec<Result<Outcome, TrainError>> {
    std::thread::scope(|scope| {
        let ranks: Vec<_> = local::group(job.spec.ranks as usize)
            .into_iter()
            .map(|exchange| {
                scope.spawn(move || {
                    exchange.set_timeout(Duration::from_secs(20));
                    let (cancel, seen) = (CancellationToken::new(), AtomicU64::new(0));
                    let token = cancel.clone();
                    let context = context(cancel, move |line| {
                        if line.starts_with("step") && Some(seen.fetch_add(1, Ordering::Relaxed) + 1) == stop {
                            token.cancel();
                        }
                    });
                    let outcome = rank::run(job, &context, &exchange, &Arc::default());
                    if let Err(error) = &outcome {
                        exchange.abort(&error.to_string());
                    }
                    outcome
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn losses(job: &TrainJob) -> String {
    fs::read_to_string(job.out.join("losses.jsonl")).unwrap()
}

#[test]
fn the_loss_falls_and_the_number_of_ranks_changes_little() {
    let mut last = vec![];
    for ranks in [1, 2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path(), ranks, 30);
        let outcomes = train(&job, None);
        let outcome = outcomes[0].as_ref().unwrap().clone();
        assert!(outcomes.iter().all(|other| other.as_ref().unwrap() == &outcome), "{outcomes:?}");
        assert!(outcome.first_loss > 5.0 && outcome.last_loss < 0.6 * outcome.first_loss, "{outcome:?}");
        assert_eq!(losses(&job).lines().count(), 30);
        assert!(job.out.join("checkpoint-30/model.safetensors").exists() && job.out.join("model.safetensors").exists());
        assert!(!job.out.join("checkpoint-4").exists(), "old checkpoints are removed");
        last.push(outcome.last_loss);
    }
    assert!(last.iter().all(|loss| (loss - last[0]).abs() < 0.02 * last[0]), "{last:?}");
}

#[test]
fn a_training_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let (whole, halved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (whole, halved) = (job(whole.path(), 2, 14), job(halved.path(), 2, 14));
    let outcome = train(&whole, None).remove(0).unwrap();
    // After checkpoint-8, in the middle of nowhere.
    let stopped = train(&halved, Some(10));
    assert!(matches!(stopped[0], Err(TrainError::Cancelled)), "{stopped:?}");
    assert!(stopped[1].is_err());
    assert!(losses(&halved).lines().count() >= 9);
    assert_eq!(train(&halved, None).remove(0).unwrap(), outcome);
    assert_eq!(losses(&whole), losses(&halved), "the same losses, to the last digit");
    let model = |job: &TrainJob| fs::read(job.out.join("model.safetensors")).unwrap();
    assert!(model(&whole) == model(&halved), "the same model, to the last bit");
    let plans = |job: &TrainJob| fs::read_to_string(job.out.join("plans.jsonl")).unwrap();
    assert_eq!(plans(&whole), plans(&halved));
    assert_eq!(train(&halved, None).remove(0).unwrap(), outcome, "one that has ended says so again");
}

#[test]
fn another_training_does_not_go_on_from_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(folder.path(), 1, 4);
    train(&job, None)[0].as_ref().unwrap();
    job.spec.seed = 9;
    let error = train(&job, None).remove(0).unwrap_err();
    assert!(error.to_string().ends_with("cannot be continued: it was begun with another spec"), "{error}");
    job.spec.seed = 0;
    fs::write(folder.path().join("texts/0.txt"), "something else").unwrap();
    let error = train(&job, None).remove(0).unwrap_err();
    assert!(error.to_string().ends_with("it was begun with other documents"), "{error}");
}

#[test]
fn a_rank_that_is_lost_ends_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(folder.path(), 3, 1000);
    let mut group = local::group(3);
    let lost = group.pop().unwrap();
    std::thread::scope(|scope| {
        let others: Vec<_> = group
            .into_iter()
            .map(|exchange| {
                let job = &job;
                scope.spawn(move || rank::run(job, &context(CancellationToken::new(), |_| ()), &exchange, &Arc::default()))
            })
            .collect();
        let mut all = vec![0; 32 * 3];
        lost.all_gather(&[7; 32], &mut all).unwrap();
        drop(lost);
        for other in others {
            let error = other.join().unwrap().unwrap_err();
            assert!(matches!(error, TrainError::Differs { rank: 2 } | TrainError::Exchange(_)), "{error}");
        }
    });
}

#[cfg(feature = "bpe")]
mod bpe {
    use super::*;
    use crate::train::Tokens;
    use safetensors::SafeTensors;
    use std::path::PathBuf;

    fn tokenizer() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/experts/base/tokenizer.json")
    }

    fn with(tokens: Tokens, job: TrainJob) -> TrainJob {
        TrainJob::new(TrainSpec { tokens, ..job.spec }, job.out).unwrap()
    }

    #[test]
    fn a_training_on_the_tokens_of_a_tokenizer_leaves_it_with_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let job = with(Tokens::Tokenizer(tokenizer()), job(folder.path(), 2, 20));
        assert_eq!(job.vocabulary, 1024);
        let outcome = train(&job, None).remove(0).unwrap();
        // ln 1024 is what a guess costs.
        assert!(outcome.first_loss > 6.5 && outcome.last_loss < 0.8 * outcome.first_loss, "{outcome:?}");
        for place in [job.out.clone(), job.out.join("checkpoint-20")] {
            assert!(fs::read(place.join("tokenizer.json")).unwrap() == fs::read(tokenizer()).unwrap());
            let config: serde_json::Value = serde_json::from_slice(&fs::read(place.join("config.json")).unwrap()).unwrap();
            assert_eq!(config["vocab_size"], 1024);
            let model = fs::read(place.join("model.safetensors")).unwrap();
            let model = SafeTensors::deserialize(&model).unwrap();
            for name in ["model.embed_tokens.weight", "lm_head.weight"] {
                assert_eq!(model.tensor(name).unwrap().shape(), [1024, 16]);
            }
        }
    }

    #[test]
    fn tokens_are_those_the_training_was_begun_with() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path(), 1, 4);
        train(&job, None)[0].as_ref().unwrap();
        let other = with(Tokens::Tokenizer(tokenizer()), job);
        let error = train(&other, None).remove(0).unwrap_err().to_string();
        assert!(error.ends_with("it was begun with another tokenizer"), "{error}");
        let told_less = TrainJob { vocabulary: 1000, ..other };
        let error = train(&told_less, None).remove(0).unwrap_err().to_string();
        assert!(
            error.ends_with("it has 1024 tokens, and the job was made for 1000: every worker must see the same file"),
            "{error}"
        );
        fs::write(folder.path().join("texts/0.txt"), b"\xff\xfe").unwrap();
        let error = train(&TrainJob { vocabulary: 1024, ..told_less }, None).remove(0).unwrap_err().to_string();
        assert!(error.contains("texts/0.txt: byte 0 is not UTF-8"), "{error}");
    }

    #[test]
    fn bytes_leave_a_tokenizer_too() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = job(folder.path(), 1, 2);
        train(&bytes, None)[0].as_ref().unwrap();
        // Read again, it is the tokenizer of a training on the same numbers.
        let read = with(
            Tokens::Tokenizer(bytes.out.join("tokenizer.json")),
            TrainJob { out: folder.path().join("again"), ..bytes.clone() },
        );
        assert_eq!(read.vocabulary, 256);
        train(&read, None)[0].as_ref().unwrap();
        assert_eq!(losses(&bytes), losses(&read));
    }
}
