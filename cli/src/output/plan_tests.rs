use super::*;
use crate::planning::{answer, tests::question};
use braid_sequence::planner::{Degree, Rank};

fn view(lengths: &[u64], context: Option<u64>) -> PlanView {
    let question = question(lengths, context);
    let answer = answer(&question, &|| false).unwrap();
    PlanView::new(&question, &answer, &answer.baselines())
}

#[test]
fn the_table_fits_a_terminal_of_80_columns() {
    let lengths: Vec<u64> = (1..400u64).map(|i| 200 + i * i * 2).collect();
    let table = view(&lengths, Some(300_000)).table();
    for line in table.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    // Right-aligned under right-aligned headings.
    let lines: Vec<&str> = table.lines().collect();
    let end = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count() + word.len());
    let percent = |line: &str| line.find('%').map(|at| line[..=at].chars().count());
    assert_eq!(end(lines[0], "GAP"), percent(lines[1]));
    assert!(table.contains("dropped    12: longer than 299872 tokens, the context of 300000 less 128"), "{table}");
}

#[test]
fn groups_are_shown_by_degree_and_wrapped() {
    let cost = answer(&question(&[1_000], None), &|| false).unwrap().cost;
    let group = |first: u32, degree: u32| Group {
        first_rank: Rank(first),
        degree: Degree(degree),
        predicted_ms: Millis(1.0),
        sequences: vec![0],
    };
    let groups = [group(0, 32), group(48, 8), group(56, 8), group(32, 16)];
    assert_eq!(shapes(&groups, &cost).join(" "), "32 16 8×2");
    let words = ["aaa", "bbb", "a-long-word", "c", "d"].map(str::to_owned);
    assert_eq!(wrap(&words, 7), ["aaa bbb", "a-long-word", "c d"]);
}

#[test]
fn the_json_form_has_the_names_that_trainers_read() {
    let json: serde_json::Value =
        serde_json::from_str(&view(&[20_000, 30, 5_000], None).render(PlanFormat::Json).unwrap()).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let top = keys(&json);
    for key in ["schema", "predicted_s", "bound_s", "gap", "solve_ms", "baselines", "micro_batches", "dropped"] {
        assert!(top.iter().any(|have| have == key), "{key}");
    }
    assert_eq!(json["schema"], "braid/v1");
    assert_eq!(keys(&json["baselines"]), ["static_s", "batchada_s"]);
    assert_eq!(keys(&json["micro_batches"][0]), ["predicted_s", "bound_s", "groups"]);
    assert_eq!(keys(&json["micro_batches"][0]["groups"][0]), ["first_rank", "degree", "predicted_s", "sequences"]);
    let gap = json["predicted_s"].as_f64().unwrap() / json["bound_s"].as_f64().unwrap() - 1.0;
    assert!((json["gap"].as_f64().unwrap() - gap).abs() < 1e-9);
}

#[test]
fn times_keep_three_digits_or_more() {
    let shown = [0.04, 12.34, 999.9, 999.96, 7_657.4, 133_300.0].map(|ms| time(Millis(ms)));
    assert_eq!(shown, ["0.0 ms", "12.3 ms", "999.9 ms", "1.00 s", "7.66 s", "133.30 s"]);
}
