//! Tokenizers trained on known mixtures: what is inferred of text that training did not see.

use super::{
    Answer, Category, InferSpec, count,
    job::{self, InferExecute, InferJob, InferWorkload},
};
use braid_workload::{Advance, AttemptId, Execute as _, JobId, Progress, TaskContext, TaskSpec, Workload as _};
use serde_json::{Value, json};
use std::{collections::VecDeque, fs, path::Path, sync::Arc};
use tokenizers::{
    Tokenizer,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    pre_tokenizers::byte_level::ByteLevel,
};

const SHARES: [f64; 5] = [0.35, 0.25, 0.2, 0.15, 0.05];

/// A language: words of letters of its own liking, the frequent ones often.
struct Language {
    words: Vec<String>,
}

impl Language {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let letters: Vec<char> = "etaoinshrdlucmfwypvbgkjqxzäöüßéèçłżñж".chars().collect();
        let liked: Vec<char> = (0..60).map(|_| letters[random.below(letters.len())]).collect();
        let letter = |random: &mut Random| {
            let most = 1 + random.below(60);
            liked[random.below(most)]
        };
        let word = |random: &mut Random| (0..2 + random.below(7)).map(|_| letter(random)).collect();
        Self { words: (0..3000).map(|_| word(&mut random)).collect() }
    }

    /// Text of about so many bytes.
    fn text(&self, bytes: usize, seed: u64) -> String {
        let mut random = Random(seed);
        let mut text = String::new();
        while text.len() < bytes {
            let most = 1 + random.below(self.words.len());
            let most = 1 + random.below(most);
            text.push_str(&self.words[random.below(most)]);
            text.push(if random.below(9) == 0 { '\n' } else { ' ' });
        }
        text
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.0 >> 33) as usize) % end
    }
}

/// A tokenizer of five languages, and other text of each.
fn question(folder: &Path) -> (InferSpec, Vec<f64>) {
    let languages: Vec<Language> = (0..5).map(|seed| Language::new(seed + 7)).collect();
    let training: Vec<String> = languages
        .iter()
        .zip(SHARES)
        .zip(100..)
        .map(|((language, share), seed)| language.text((1e6 * share) as usize, seed))
        .collect();
    let total: usize = training.iter().map(String::len).sum();
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(false)));
    let alphabet = ByteLevel::alphabet().into_iter().collect();
    let trainer = BpeTrainer::builder().vocab_size(256 + 600).show_progress(false).initial_alphabet(alphabet).build();
    let lines = training.iter().flat_map(|text| text.split_inclusive('\n'));
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), lines).unwrap();
    tokenizer.save(folder.join("tokenizer.json"), false).unwrap();
    let category = |(index, language): (usize, &Language)| {
        let path = folder.join(format!("text-{index}.txt"));
        fs::write(&path, language.text(600_000, 900 + index as u64)).unwrap();
        Category { name: format!("language {index}"), path }
    };
    let data = languages.iter().enumerate().map(category).collect();
    let truth = training.iter().map(|text| text.len() as f64 / total as f64).collect();
    (InferSpec { tokenizer: folder.join("tokenizer.json"), data, merges: None }, truth)
}

fn shares(answer: &Answer) -> Vec<f64> {
    answer.proportions.values().map(|share| share.as_f64().unwrap()).collect()
}

fn mean_square(answer: &Answer, truth: &[f64]) -> f64 {
    shares(answer).iter().zip(truth).map(|(found, true_share)| (found - true_share).powi(2)).sum::<f64>() / truth.len() as f64
}

fn here(spec: &InferSpec) -> Answer {
    count(spec, &|| false).unwrap().answer(spec, &|| false).unwrap()
}

#[test]
fn the_proportions_of_five_languages_are_found_from_other_text() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, truth) = question(folder.path());
    let answer = here(&spec);
    let error = mean_square(&answer, &truth);
    assert!(error.log10() <= -4.5, "log10 MSE {:.2}: {:?}, not {truth:?}", error.log10(), shares(&answer));
    assert!((shares(&answer).iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(answer.bound <= answer.slack && answer.slack <= answer.bound * 1.01 + 1e-9, "{answer:?}");
    assert_eq!(answer.merges, 600);
    let few = here(&InferSpec { merges: Some(300), ..spec.clone() });
    assert_eq!(few.merges, 300);
    // Text of two languages exchanged: what is found follows the text, so the bound above can fail.
    let mut exchanged = spec.clone();
    exchanged.data[0].path.clone_from(&spec.data[4].path);
    exchanged.data[4].path.clone_from(&spec.data[0].path);
    assert!(mean_square(&here(&exchanged), &truth).log10() > -2.0);
}

#[test]
fn a_job_finds_the_same_and_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, _) = question(folder.path());
    let spec = InferSpec { merges: Some(200), ..spec };
    let out = folder.path().join("out");
    let job = json!(InferJob { spec: spec.clone(), out: out.clone() });
    let (stopped, reused) = run(&job, 4);
    assert_eq!((stopped, reused), (None, 0));
    // The list, and three shards.
    let (answer, reused) = run(&job, usize::MAX);
    assert!(reused >= 3 * 600_000, "{reused}");
    let answer: Answer = serde_json::from_value(answer.unwrap()).unwrap();
    assert_eq!(answer, here(&spec));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "what was counted on the way is removed");
    let (again, _) = run(&job, 2);
    assert_eq!(serde_json::from_value::<Answer>(again.unwrap()).unwrap(), answer, "the answer is there: a list, and no more");
    fs::write(&spec.data[0].path, "other text\n").unwrap();
    assert_eq!(run(&job, 2).0, None, "other text is another question");
}

/// Runs the tasks of a job one after the other, at most so many; its details, and the bytes that it did not count again.
fn run(job: &Value, tasks: usize) -> (Option<Value>, u64) {
    let progress = Arc::new(Progress::default());
    let plan = InferWorkload.plan(job).unwrap();
    let (mut state, mut open) = (plan.state, VecDeque::from(plan.tasks));
    for index in 0..tasks {
        let Some(task) = open.pop_front() else { break };
        let value = InferExecute.run(job, &task, &context(index as u32, &progress)).unwrap();
        match InferWorkload.advance(job, &state, &task, &value, open.len()).unwrap() {
            Advance::Continue { state: next, tasks } => {
                state = next.unwrap_or(state);
                open.extend(tasks);
            }
            Advance::Finished(result) => return (Some(result.details), progress.reused()),
            Advance::Failed(failure) => panic!("{failure:?}"),
        }
    }
    (None, progress.reused())
}

fn context(index: u32, progress: &Arc<Progress>) -> TaskContext {
    TaskContext {
        task: JobId(1).task(index),
        attempt: AttemptId(1),
        cancel: Default::default(),
        progress: Arc::clone(progress),
        log: Arc::new(|_| {}),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
        memory: 0,
        gpus: Vec::new(),
        membership: None,
    }
}

#[test]
fn a_job_that_cannot_be_is_refused() {
    let data = |names: &[&str]| names.iter().map(|name| json!({"name": name, "path": "/x"})).collect::<Vec<_>>();
    let job = |data: Vec<Value>| json!({"spec": {"tokenizer": "/t", "data": data}, "out": "/o"});
    for (job, said) in [
        (job(data(&["a"])), "of 1 category nothing can be inferred"),
        (job(data(&["a", "a"])), "category `a` is named twice"),
        (job(data(&["a", ""])), "a category has no name"),
        (json!({"spec": {"tokenizer": "t", "data": data(&["a", "b"])}, "out": "/o"}), "t is not an absolute path"),
        (json!({}), "missing field `spec`"),
    ] {
        let error = InferWorkload.plan(&job).unwrap_err().to_string();
        assert!(error.starts_with("mixture-infer job: ") && error.contains(said), "{error}");
    }
    let task = TaskSpec { label: String::new(), payload: json!({"step": "dance"}), demand: Default::default() };
    let error = InferExecute.run(&job(data(&["a", "b"])), &task, &context(0, &Arc::default())).unwrap_err();
    assert!(error.message.contains("unknown variant `dance`"), "{error:?}");
    assert_eq!(job::KIND, "mixture-infer");
}
