use super::*;
use crate::{plan::PlannedTensor, survey::MAGNITUDES};
use proptest::prelude::*;

/// Asks for two sums, then for two ranks of each of two sources.
struct Both;

impl Survey for Both {
    fn case(&self, _: &[&PlannedTensor]) -> Result<Case, String> {
        Err("not asked".into())
    }

    fn question(&self, case: &Case, answers: &[Answer]) -> Option<Question> {
        match answers.len() {
            0 => Some(Question::Sums(2)),
            1 => Some(Question::Ranks { ranks: vec![case.numbers.clone(); 2], window: MAGNITUDES }),
            _ => None,
        }
    }
}

/// What a worker would find in its part of the two sources.
fn find(asked: &Asked, sources: &[Vec<u32>; 2]) -> Finding {
    let own = |source: &[u32]| source[asked.first..asked.end].to_vec();
    match &asked.look {
        Look::Sums(count) => {
            Finding::Sums((0..*count).map(|i| own(&sources[i]).iter().map(|n| f64::from(*n)).sum::<f64>().to_bits()).collect())
        }
        Look::Counts(of_sources) => {
            let mut counts = Vec::new();
            for (source, buckets) in sources.iter().zip(of_sources) {
                for &(low, shift, intervals) in buckets {
                    let buckets = Buckets { low, shift, intervals };
                    counts.extend((0..buckets.counts()).map(|place| {
                        let range = buckets.numbers(place);
                        own(source).iter().filter(|n| range.is_some_and(|(a, b)| (a..=b).contains(n))).count() as u64
                    }));
                }
            }
            Finding::of_counts(&counts)
        }
    }
}

fn of(case: Case, groups: Vec<Group>) -> Surveyed {
    Surveyed { case, groups, method: "any".into() }
}

proptest! {
    /// In whatever order the tasks end, with the state written and read in between.
    #[test]
    fn answers_are_those_of_all_tensors(
        numbers in prop::collection::vec((any::<u32>(), 0x3000_0000..0x3800_0000u32), 8..40),
        cuts in 1..8usize,
        turn in any::<usize>(),
    ) {
        let sources: [Vec<u32>; 2] = [numbers.iter().map(|n| n.0).collect(), numbers.iter().map(|n| n.1).collect()];
        let n = numbers.len();
        let groups: Vec<Group> = (0..cuts).map(|cut| Group(n * cut / cuts, n * (cut + 1) / cuts, 1)).collect();
        let ranks = vec![1, n as u64 / 2];
        let case = Case { elements: n as u64, experts: 2, numbers: ranks.clone() };
        let mut looking = Looking::begin(&Both, "plan".into(), 7, of(case, groups)).unwrap();
        let mut tasks = looking.tasks();
        let answers = loop {
            prop_assert_eq!(tasks.len(), cuts);
            tasks.rotate_left(turn % cuts);
            for (asked, _) in &tasks {
                let text = serde_json::to_string(&looking).unwrap();
                prop_assert!(text.len() < 24 << 10);
                looking = serde_json::from_str(&text).unwrap();
                looking.take(asked.index, find(asked, &sources)).unwrap();
            }
            match looking.next(&Both).unwrap() {
                Next::Round(next) => tasks = next,
                Next::Known(answers) => break answers,
            }
        };
        let sum = |source: &Vec<u32>| source.iter().map(|n| f64::from(*n)).sum::<f64>();
        // whole numbers: the order of additions does not matter here
        prop_assert_eq!(answers[0].sums(), sources.iter().map(sum).collect::<Vec<_>>());
        for (index, source) in sources.iter().enumerate() {
            let mut sorted = source.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            for (place, rank) in ranks.iter().enumerate() {
                prop_assert_eq!(answers[1].number(index, place), Some(sorted[*rank as usize - 1]));
            }
        }
    }
}

#[test]
fn the_state_of_the_largest_survey_is_a_small_record() {
    let ranks = vec![vec![1, 1 << 39]; 16];
    struct Many(Vec<Vec<u64>>);
    impl Survey for Many {
        fn case(&self, _: &[&PlannedTensor]) -> Result<Case, String> {
            Err("not asked".into())
        }
        fn question(&self, _: &Case, _: &[Answer]) -> Option<Question> {
            Some(Question::Ranks { ranks: self.0.clone(), window: MAGNITUDES })
        }
    }
    let groups = vec![Group(100_000, 200_000, 1 << 42); MOST_TASKS];
    let case = Case { elements: 1 << 40, experts: 16, numbers: vec![u64::MAX; 32] };
    let mut looking = Looking::begin(&Many(ranks), "d".repeat(64), 1 << 40, of(case, groups)).unwrap();
    let (asked, _) = looking.tasks().remove(0);
    let Look::Counts(buckets) = &asked.look else { panic!() };
    let counts: usize = buckets.iter().flatten().map(|(_, _, intervals)| *intervals as usize + 2).sum();
    // as evenly spread as can be: the longest text
    looking.take(0, Finding::of_counts(&vec![(1 << 40) / 96; counts])).unwrap();
    let text = serde_json::to_string(&looking).unwrap();
    assert!(text.len() < 24 << 10, "{} bytes", text.len());
    let task = serde_json::to_string(&asked).unwrap();
    assert!(task.len() < 8 << 10, "{} bytes", task.len());
}

#[test]
fn findings_of_another_question_are_refused() {
    let case = Case { elements: 4, experts: 2, numbers: vec![1] };
    let mut looking = Looking::begin(&Both, "plan".into(), 7, of(case, vec![Group(0, 4, 1)])).unwrap();
    for (index, finding) in [(1, Finding::Sums(vec![0, 0])), (0, Finding::Sums(vec![0])), (0, Finding::Counts("AAA".into()))] {
        let error = looking.take(index, finding).unwrap_err().to_string();
        assert!(error.contains("is not what was asked for"), "{error}");
    }
    looking.take(0, Finding::Sums(vec![0, 0])).unwrap();
    looking.next(&Both).unwrap();
    for text in ["A", "!", "g"] {
        let first = looking.take(0, Finding::Counts(text.into()));
        assert!(first.is_err() || looking.next(&Both).is_err(), "{text}");
    }
}
