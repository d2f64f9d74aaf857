//! A fleet as it is by default: TLS, tokens, certificates, a policy; by real processes.

use crate::{
    harness::{Family, Process, Run, SMALL, Scratch, command, eventually, finish},
    see,
};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

/// A coordinator with TLS, in a folder that is its user's home as well.
struct Fleet {
    process: Process,
    address: String,
    scratch: Scratch,
    args: Vec<String>,
}

impl Fleet {
    fn start(args: &[&str]) -> Self {
        let (scratch, args) = (Scratch::new(), args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>());
        let (process, address) = launch(&scratch, "127.0.0.1:0", &args);
        let fleet = Self { process, address, scratch, args };
        eventually("credentials", || fleet.scratch.join(".config/braid/credentials.json").exists().then_some(()));
        fleet
    }

    fn restart(&mut self) {
        self.process.kill9();
        (self.process, self.address) = launch(&self.scratch, &self.address, &self.args);
    }

    /// As its user, with the credentials that it left.
    fn braid(&self, args: &[&str]) -> Run {
        self.scratch.braid(args)
    }

    /// As somebody else, who has this token and nothing else.
    fn braid_as(&self, token: &str, args: &[&str]) -> Run {
        let home = Scratch::new();
        let mut command = command(home.path());
        command.args(args).env("BRAID_TOKEN", token).env("BRAID_COORDINATOR", &self.address);
        finish(command)
    }

    fn token(&self, args: &[&str]) -> String {
        let start = ["token", "create", "--quiet"];
        self.braid(&start.iter().chain(args).copied().collect::<Vec<_>>()).ok().stdout.trim().to_owned()
    }

    fn worker(&self, folder: &Scratch, token: Option<&str>, more: &[&str]) -> Process {
        let mut command = command(folder.path());
        command
            .args(["worker", "--join", &self.address, "--data-dir", "data", "--threads", "1", "--measure", "never"])
            .args(more);
        if let Some(token) = token {
            command.env("BRAID_TOKEN", token);
        }
        Process::spawn("worker", command, &folder.join("worker.log"))
    }

    fn wait_for_nodes(&self, count: usize) {
        eventually(&format!("{count} ready nodes"), || {
            let nodes = self.braid(&["node", "ls", "-o", "json"]).ok().json();
            let ready = nodes["nodes"].as_array().unwrap().iter().filter(|node| node["state"] == "ready").count();
            (ready == count).then_some(())
        });
    }

    /// The outcomes of a call in the audit log, oldest first, with who asked.
    fn audit(&self, what: &str) -> Vec<(String, String, String)> {
        let entries = self.braid(&["audit", "--last", "1000", "-o", "json"]).ok().json();
        let entries = entries["entries"].as_array().unwrap().iter().filter(|entry| entry["what"] == what);
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        entries.map(|entry| (text(&entry["who"]), text(&entry["object"]), text(&entry["outcome"]))).collect()
    }
}

fn launch(scratch: &Scratch, listen: &str, args: &[String]) -> (Process, String) {
    let mut command = command(scratch.path());
    command.args(["coordinator", "--listen", listen, "--data-dir", "data"]).args(args);
    let mut process = Process::spawn("coordinator", command, &scratch.join("coordinator.log"));
    let line = process.first_line();
    (process, line.strip_prefix("listening on ").unwrap().to_owned())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

/// The end of a worker that is refused.
fn refusal(mut worker: Process) -> String {
    assert_eq!(worker.wait().code(), Some(2), "{}", worker.log());
    worker.log()
}

#[test]
fn the_first_five_minutes() {
    let mut fleet = Fleet::start(&[]);
    see!(fleet.scratch, fleet.braid(&["job", "ls"]), @"
    exit: 0
    --- stdout
    ID  KIND  STATE  TASKS  BYTES  AGE  LABEL
    --- stderr
    ");
    for file in ["data/state.redb", "data/admin.json", ".config/braid/credentials.json", "data/audit/audit.jsonl"] {
        assert_eq!(mode(&fleet.scratch.join(file)), 0o600, "{file}");
    }
    let said = eventually("an invitation", || Some(fleet.process.log()).filter(|log| log.contains("braid-join-")));
    let token = said.split_whitespace().find(|word| word.starts_with("braid-join-")).unwrap().to_owned();
    let folder = Scratch::new();
    let mut worker = fleet.worker(&folder, Some(&token), &[]);
    fleet.wait_for_nodes(1);
    assert_eq!(mode(&folder.join("data/identity.json")), 0o600);
    assert_eq!(fleet.braid(&["bench", "--tasks", "3"]).ok().json()["tasks"], 3);

    // Neither a restarted worker nor a restarted coordinator needs anything again.
    worker.kill9();
    let _worker = fleet.worker(&folder, None, &[]);
    fleet.restart();
    assert_eq!(fleet.braid(&["bench", "--tasks", "3"]).ok().json()["tasks"], 3);
    assert_eq!(fleet.process.log().matches("this is a new fleet").count(), 1, "it is said once");

    let plain = fleet.braid(&["job", "ls", "--insecure", "--coordinator", &fleet.address]);
    assert_eq!(plain.code, Some(4), "{plain}");
    assert!(plain.stderr.contains("it hangs up on plaintext (does it speak TLS?"), "{plain}");
    let entries = fleet.audit("Enrollment.Join");
    assert!(
        matches!(&entries[..], [(who, object, outcome)] if who == "stranger" && object.starts_with("node ") && outcome == "OK")
    );
    let submitted = fleet.audit("Jobs.Submit");
    assert!(submitted.iter().all(|(who, _, outcome)| who.starts_with("admin local (token") && outcome == "OK"), "{submitted:?}");
    assert_eq!(submitted.len(), 2);
    assert_eq!(submitted[0].1, "job 1 (noop)");
}

#[test]
fn a_machine_joins_once_in_time_and_with_the_right_token() {
    let fleet = Fleet::start(&[]);
    let token = fleet.token(&[]);
    let folder = Scratch::new();
    let mut worker = fleet.worker(&folder, Some(&token), &[]);
    fleet.wait_for_nodes(1);
    let name = fs::read_to_string(folder.join("data/node")).unwrap().trim().to_owned();

    let other = Scratch::new();
    let refused = refusal(fleet.worker(&other, Some(&token), &[]));
    assert!(refused.contains(&format!("the join token was used, by node {name}")), "{refused}");
    let late = fleet.token(&["--ttl", "1s"]);
    std::thread::sleep(Duration::from_millis(1100));
    let refused = refusal(fleet.worker(&other, Some(&late), &[]));
    assert!(refused.contains("the join token has expired"), "{refused}");

    let fresh = fleet.token(&[]);
    let parts: Vec<&str> = fresh.split('-').collect();
    let flip = |text: &str| text.chars().map(|c| if c == '0' { '1' } else { '0' }).collect::<String>();
    let forged = format!("braid-join-{}-{}", flip(parts[2]), parts[3]);
    let refused = refusal(fleet.worker(&other, Some(&forged), &[]));
    assert!(refused.contains("the join token is unknown or revoked"), "{refused}");
    let elsewhere = format!("braid-join-{}-{}", parts[2], flip(parts[3]));
    let refused = refusal(fleet.worker(&other, Some(&elsewhere), &[]));
    assert!(refused.contains("is not of the fleet that the token is for"), "{refused}");
    let viewer = fleet.token(&["--role", "viewer"]);
    let refused = refusal(fleet.worker(&other, Some(&viewer), &[]));
    assert!(refused.contains("a person's token lets no machine join"), "{refused}");
    let refused = refusal(fleet.worker(&other, None, &[]));
    assert!(refused.contains("has not joined the fleet yet"), "{refused}");
    let id = fleet.braid(&["token", "ls", "-o", "json"]).json()["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .find(|token| token["role"] == "node")
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    fleet.braid(&["token", "revoke", &id]).ok();
    let refused = refusal(fleet.worker(&other, Some(&fresh), &[]));
    assert!(refused.contains("the join token is unknown or revoked"), "{refused}");
    let listed = fleet.braid(&["token", "ls", "-o", "yaml"]).ok().stdout;
    assert!(!listed.contains(parts[2]) && listed.contains(&format!("used_by: {name}")), "{listed}");
    fleet.wait_for_nodes(1);

    // Put out, it ends by itself, and comes back only with a new token.
    fleet.braid(&["node", "revoke", &name]).ok();
    assert_eq!(worker.wait().code(), Some(2), "{}", worker.log());
    assert!(worker.log().contains(&format!("the certificate of node {name} is revoked")), "{}", worker.log());
    let missing = fleet.braid(&["node", "revoke", "nobody"]);
    assert_eq!((missing.code, missing.stderr.contains("no node nobody has joined")), (Some(3), true), "{missing}");
    let refused = refusal(fleet.worker(&folder, Some(&token), &[]));
    assert!(refused.contains(&format!("the join token was used, by node {name}")), "{refused}");
    let mut worker = fleet.worker(&folder, Some(&fleet.token(&[])), &[]);
    fleet.wait_for_nodes(1);
    // The new token stays in the environment of its service, and is not looked at while the certificate is good.
    worker.kill9();
    let _worker = fleet.worker(&folder, Some(&token), &[]);
    fleet.wait_for_nodes(1);
    let outcomes: Vec<String> = fleet.audit("Enrollment.Join").into_iter().map(|(_, _, outcome)| outcome).collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "OK").count(), 2, "{outcomes:?}");
    assert!(outcomes.iter().any(|outcome| outcome.contains("expired")) && outcomes.len() == 7, "{outcomes:?}");
}

#[test]
fn people_may_do_what_their_role_allows() {
    let fleet = Fleet::start(&[]);
    let viewer = fleet.token(&["--role", "viewer", "--label", "eve"]);
    let operator = fleet.token(&["--role", "operator", "--label", "bob"]);
    fleet.braid_as(&viewer, &["job", "ls"]).ok();
    let denied = fleet.braid_as(&viewer, &["bench", "--tasks", "1"]);
    assert_eq!(denied.code, Some(2));
    assert!(denied.stderr.contains("this needs the role operator, and the token"), "{denied}");
    let out = fleet.scratch.join("out");
    fs::write(fleet.scratch.join("r.yml"), "merge_method: linear\nmodels:\n- model: /gone\n  parameters: {weight: 1}\n").unwrap();
    let recipe = fleet.scratch.join("r.yml");
    let merge = ["merge", recipe.to_str().unwrap(), out.to_str().unwrap(), "--coordinator", &fleet.address, "--detach"];
    assert_eq!(fleet.braid_as(&operator, &merge).ok().stdout.trim(), "1");
    for verb in [&["token", "ls"][..], &["token", "create", "--role", "admin"], &["audit"], &["node", "revoke", "n"]] {
        let denied = fleet.braid_as(&operator, verb);
        assert_eq!(denied.code, Some(2), "{denied}");
        assert!(denied.stderr.contains("this needs the role admin"), "{denied}");
    }
    fleet.braid_as(&operator, &["job", "cancel", "1"]).ok();
    assert_eq!(fleet.braid_as(&operator, &["node", "drain", "n7"]).code, Some(3));
    fleet.braid(&["project", "set", "vision", "--weight", "2"]).ok();
    assert_eq!(fleet.audit("Nodes.Change")[0].1, "node n7 (drain)");
    assert_eq!(fleet.audit("Projects.Set")[0].1, "project vision");
    let nameless = fleet.token(&["--role", "viewer"]);
    fleet.braid_as(&nameless, &["token", "ls"]);
    assert!(fleet.audit("Access.ListTokens").iter().any(|(who, ..)| who.starts_with("viewer (token ")));
    let digit = if &operator[11..12] == "0" { "1" } else { "0" };
    let forged = format!("{}{digit}{}", &operator[..11], &operator[12..]);
    let denied = fleet.braid_as(&forged, &["job", "ls"]);
    assert!(denied.stderr.contains("the token is unknown, revoked or expired"), "{denied}");
    let submitted = fleet.audit("Jobs.Submit");
    assert_eq!(submitted.len(), 2, "{submitted:?}");
    assert!(submitted[0].0.starts_with("viewer eve") && submitted[0].2.starts_with("PermissionDenied"), "{submitted:?}");
    assert!(submitted[1].0.starts_with("operator bob") && submitted[1].1 == "job 1 (merge)", "{submitted:?}");
}

#[test]
fn a_certificate_is_renewed_without_losing_the_session() {
    let fleet = Fleet::start(&["--certificate-life", "4s"]);
    let folder = Scratch::new();
    let mut worker = fleet.worker(&folder, Some(&fleet.token(&[])), &[]);
    fleet.wait_for_nodes(1);
    let identity = || fs::read_to_string(folder.join("data/identity.json")).unwrap();
    let mut seen = vec![identity()];
    eventually("two renewals", || {
        let now = identity();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        (seen.len() == 3).then_some(())
    });
    assert_eq!(fleet.audit("Workers.Session").len(), 1, "{:?}", fleet.audit("Workers.Session"));
    assert!(fleet.audit("Enrollment.Renew").iter().all(|(who, _, outcome)| who.starts_with("node ") && outcome == "OK"));
    assert_eq!(fleet.braid(&["bench", "--tasks", "2"]).ok().json()["tasks"], 2);
    // The newest certificate opens the next session.
    worker.kill9();
    let _worker = fleet.worker(&folder, None, &[]);
    eventually("the second session", || (fleet.audit("Workers.Session").len() == 2).then_some(()));
}

#[test]
fn jobs_stay_inside_the_folders_that_the_policy_and_the_worker_allow() {
    let place = Scratch::new();
    let base = place.path().canonicalize().unwrap();
    let family = Family::write(&base.join("models"), crate::harness::Size { layers: 1, hidden: 64, vocabulary: 64, ..SMALL }, 1);
    fs::create_dir_all(base.join("out/worker-only")).unwrap();
    let policy = place.write("policy.yml", format!("read: [{0}/models]\nwrite: [{0}/out]\n", base.display()));
    let fleet = Fleet::start(&["--policy", policy.to_str().unwrap()]);
    let folder = Scratch::new();
    let rule = base.join("out/worker-only").display().to_string();
    let models = base.join("models").display().to_string();
    let _worker = fleet.worker(&folder, Some(&fleet.token(&[])), &["--allow-read", &models, "--allow-write", &rule]);
    fleet.wait_for_nodes(1);
    place.write("r.yml", family.recipe("linear", 1.0));
    let merge = |recipe: &str, out: &Path| {
        let recipe = base.join(recipe);
        fleet.braid(&["merge", recipe.to_str().unwrap(), out.to_str().unwrap(), "--coordinator", &fleet.address])
    };
    merge("r.yml", &base.join("out/worker-only/good")).ok();

    let outside = merge("r.yml", &base.join("elsewhere"));
    assert_eq!(outside.code, Some(2), "{outside}");
    let said =
        format!("a merge job may not write {0}/elsewhere: the policy {1} allows {0}/out", base.display(), policy.display());
    assert!(outside.stderr.contains(&said), "{outside}");
    std::os::unix::fs::symlink(base.join("secret"), base.join("out/link")).unwrap();
    fs::create_dir(base.join("secret")).unwrap();
    let linked = merge("r.yml", &base.join("out/link/x"));
    assert!(linked.code == Some(2) && linked.stderr.contains(&format!("(which is {}/secret/x)", base.display())), "{linked}");
    place.write("s.yml", "merge_method: linear\nmodels:\n- model: /etc\n  parameters: {weight: 1}\n");
    let reading = merge("s.yml", &base.join("out/worker-only/bad"));
    assert!(reading.code == Some(2) && reading.stderr.contains("may not read /etc"), "{reading}");

    // What the policy allows and the worker does not, fails where it would run.
    let refused = merge("r.yml", &base.join("out/other"));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("this worker (--allow-read, --allow-write) allows"), "{refused}");
    assert!(!base.join("out/other").exists() && !base.join("elsewhere").exists());
    assert_eq!(fs::read_dir(base.join("secret")).unwrap().count(), 0);
}

#[test]
fn what_a_job_may_use_depends_on_its_project_and_on_who_submits_it() {
    let place = Scratch::new();
    let base = place.path().canonicalize().unwrap();
    let family = Family::write(&base.join("models"), crate::harness::Size { layers: 1, hidden: 64, vocabulary: 64, ..SMALL }, 1);
    for folder in ["a", "b", "admin"] {
        fs::create_dir_all(base.join(folder)).unwrap();
    }
    let here = base.display();
    let policy = place.write(
        "policy.yml",
        format!(
            "read: [{here}/models]\nrules:\n- {{projects: [a], role: operator, write: [{here}/a]}}\n\
             - {{projects: [b], role: operator, write: [{here}/b]}}\n- {{role: admin, write: [{here}/admin], unbounded: [command]}}\n"
        ),
    );
    let fleet = Fleet::start(&["--policy", policy.to_str().unwrap()]);
    let folder = Scratch::new();
    let _worker = fleet.worker(&folder, Some(&fleet.token(&[])), &[]);
    fleet.wait_for_nodes(1);
    let recipe = place.write("r.yml", family.recipe("linear", 1.0));
    let merge = |out: &str, project: &str| {
        let args = ["merge", recipe.to_str().unwrap(), &format!("{here}/{out}"), "--coordinator", &fleet.address];
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        [args, if project.is_empty() { vec![] } else { vec!["--project".to_owned(), project.to_owned()] }].concat()
    };
    let only_a = fleet.token(&["--role", "operator", "--project", "a"]);
    let any = fleet.token(&["--role", "operator", "--label", "any"]);
    let run_as = |token: &str, args: &[String]| fleet.braid_as(token, &args.iter().map(String::as_str).collect::<Vec<_>>());

    run_as(&only_a, &merge("a/1", "a")).ok();
    // Who may work for one project alone works for that one.
    run_as(&only_a, &merge("a/2", "")).ok();
    run_as(&any, &merge("b/1", "b")).ok();
    let outside = run_as(&only_a, &merge("b/2", "a"));
    let said = format!("may not write {here}/b/2: the policy {} (project a, role operator) allows {here}/a", policy.display());
    assert!(outside.code == Some(2) && outside.stderr.contains(&said), "{outside}");
    let other = run_as(&only_a, &merge("b/2", "b"));
    assert!(other.code == Some(2) && other.stderr.contains("is for jobs of project a, not of project b"), "{other}");
    let cancelled = run_as(&only_a, &["job", "cancel", "3"].map(String::from));
    assert!(cancelled.code == Some(2) && cancelled.stderr.contains("not of project b"), "{cancelled}");
    std::os::unix::fs::symlink(base.join("b"), base.join("a/link")).unwrap();
    let linked = run_as(&only_a, &merge("a/link/x", "a"));
    assert!(linked.code == Some(2) && linked.stderr.contains(&format!("(which is {here}/b/x)")), "{linked}");
    let nowhere = run_as(&any, &merge("a/3", ""));
    assert!(nowhere.stderr.contains("(project default, role operator) allows no folder to write"), "{nowhere}");
    let program = ["run", "--coordinator", &fleet.address, "--", "true"];
    let refused = fleet.braid_as(&any, &program);
    assert!(refused.code == Some(2) && refused.stderr.contains("does not list the kind under `unbounded`"), "{refused}");
    fleet.braid(&program).ok();
    fleet.braid(&merge("admin/1", "").iter().map(String::as_str).collect::<Vec<_>>()).ok();
    assert!(base.join("admin/1/config.json").exists() && !base.join("b/2").exists() && !base.join("b/x").exists());

    // The worker has the last word, where the files are: a folder that became a link after the submit.
    fs::remove_file(base.join("a/link")).unwrap();
    fs::create_dir(base.join("a/link")).unwrap();
    let name = fleet.braid(&["node", "ls", "-o", "name"]).ok().stdout.trim().to_owned();
    fleet.braid(&["node", "cordon", &name]).ok();
    let mut waiting = merge("a/link/y", "a");
    waiting.push("--detach".to_owned());
    let id = run_as(&only_a, &waiting).ok().stdout.trim().to_owned();
    fs::remove_dir(base.join("a/link")).unwrap();
    std::os::unix::fs::symlink(base.join("b"), base.join("a/link")).unwrap();
    fleet.braid(&["node", "uncordon", &name]).ok();
    let waited = fleet.braid(&["job", "wait", &id]);
    let shown = fleet.braid(&["job", "show", &id]);
    assert!(waited.code == Some(1) && shown.stdout.contains(&format!("(which is {here}/b/y)")), "{waited} {shown}");
    assert!(!base.join("b/y").exists());
}

#[test]
fn a_coordinator_that_was_set_up_anew_is_a_stranger() {
    let mut fleet = Fleet::start(&[]);
    let old = fs::read(fleet.scratch.join(".config/braid/credentials.json")).unwrap();
    fleet.process.kill9();
    fs::remove_dir_all(fleet.scratch.join("data")).unwrap();
    (fleet.process, fleet.address) = launch(&fleet.scratch, &fleet.address, &[]);
    eventually("the new credentials", || fleet.scratch.join("data/admin.json").exists().then_some(()));
    assert_eq!(fs::read(fleet.scratch.join(".config/braid/credentials.json")).unwrap(), old, "those of another fleet are kept");
    see!(fleet.scratch, fleet.braid(&["job", "ls"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: the coordinator at 127.0.0.1:[PORT] is not of the fleet that the token is for (invalid peer certificate: UnknownIssuer)

    hint: a token is taken from --token, --credentials, BRAID_TOKEN, BRAID_CREDENTIALS or else the user's own credentials file; on the coordinator's machine its own are in admin.json of its data folder: --credentials DATA/admin.json
    ");
    fleet.braid(&["job", "ls", "--credentials", "data/admin.json"]).ok();
}
