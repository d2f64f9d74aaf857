use super::*;
use crate::step::Merged;

const RECIPE: &str = "merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 1}}]";

fn spec(recipe: &str) -> Value {
    json!({"recipe": recipe, "recipe_file": "r.yml", "directory": "/home", "out": "/home/out"})
}

fn planned(groups: Vec<Group>, published: bool) -> Value {
    let planned = Planned {
        plan: "digest".into(),
        published,
        tensors: 9,
        bytes: 100,
        reused_tensors: 0,
        reused_bytes: 0,
        memory: 7,
        groups,
        survey: None,
    };
    step::write(&planned).unwrap()
}

fn advance(finished: &TaskSpec, value: &Value, open: usize) -> Advance {
    MergeWorkload.advance(&spec(RECIPE), &Value::Null, finished, value, open).unwrap()
}

fn tasks(advance: Advance) -> Vec<TaskSpec> {
    match advance {
        Advance::Continue { state: None, tasks } => tasks,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_merge_is_planned_spread_out_and_published() {
    let plan = MergeWorkload.plan(&spec(RECIPE)).unwrap();
    assert_eq!(plan.label, "linear of 2 checkpoints -> /home/out");
    assert_eq!(plan.exclusive.as_deref(), Some("out:/home/out"));
    let spread = tasks(advance(&plan.tasks[0], &planned(vec![Group(0, 4, 60), Group(4, 9, 40)], false), 0));
    let labels: Vec<_> = spread.iter().map(|task| (task.label.as_str(), task.demand.bytes, task.demand.memory)).collect();
    assert_eq!(labels, [("tensors 0..4", 60, 7), ("tensors 4..9", 40, 7)]);
    let merged = step::write(&Merged { tensors: 4, reused: 0, read: 0 }).unwrap();
    assert_eq!(tasks(advance(&spread[1], &merged, 1)), []);
    let publish = tasks(advance(&spread[0], &merged, 0));
    assert_eq!(publish.len(), 1);
    assert_eq!(publish[0].payload, json!({"step": "publish", "plan": "digest"}));
    assert_eq!(tasks(advance(&plan.tasks[0], &planned(vec![], false), 0)), publish, "everything was reused");
    let Advance::Finished(result) = advance(&plan.tasks[0], &planned(vec![], true), 0) else { panic!() };
    assert_eq!(result.summary, "/home/out already holds this merge");
}

#[test]
fn the_result_says_what_was_done() {
    let publish = publish("digest".into()).unwrap();
    let value = json!({
        "out": "/o", "models": 4, "tensors": 9, "bytes": 514_300_000u64, "shards": 1, "digest": "d",
        "reused_tensors": 3, "reused_bytes": 2_000_000, "repaired_tensors": 1
    });
    let Advance::Finished(result) = advance(&publish, &value, 0) else { panic!() };
    assert_eq!(
        result.summary,
        "merged 4 checkpoints into /o (9 tensors, 514.3 MB), reusing 3 tensors (2.0 MB) of an interrupted run, \
         merging 1 again that a node had lost"
    );
    assert_eq!(result.details, value);
}

#[test]
fn a_spec_or_value_that_is_not_ones_own_is_refused() {
    let error = |spec: Value| MergeWorkload.plan(&spec).unwrap_err().to_string();
    assert!(error(json!({"recipe": "x"})).contains("merge job: "));
    assert!(error(spec("merge_method: lineer")).contains("r.yml:1:"));
    let mut relative = spec(RECIPE);
    relative["out"] = json!("out");
    assert!(error(relative).contains("not an absolute path"));
    let publish = publish("digest".into()).unwrap();
    let error = MergeWorkload.advance(&spec(RECIPE), &Value::Null, &publish, &json!({"tensors": 1}), 0).unwrap_err();
    assert!(error.message.contains("cannot read {\"tensors\":1}"), "{error}");
}
