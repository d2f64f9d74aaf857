//! A trainer that asks, as a process: it is this test program, run again for the one test below. Its model is what it has seen of each
//! domain, and its losses follow from that; it keeps a checkpoint of its own and speaks the wire itself, so that what is tested is
//! Braid's side alone. (The Python client has its own tests, against the same.)
//!
//! Each rank leaves in its folder `rank-R.STEP.json`, its checkpoints; `rank-R.trace`, a line a step with the proportions that it trained on;
//! `rank-R.pid`.

use braid_proto::v1::{
    self, BeginRequest, ProbedRequest, ReportRequest, WeightsRequest, mixture_client::MixtureClient, weights_reply::Turn,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    env,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process,
    time::Duration,
};
use tonic::transport::{Channel, Endpoint};

/// Steps between checkpoints: most are within a leg.
const CHECKPOINT: u64 = 7;
/// Tokens of a step.
const TOKENS: f64 = 960.0;

type By<T> = HashMap<String, T>;

/// All that it goes on from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    step: u64,
    /// The model.
    seen: Vec<f64>,
    /// The step at which the leg began, and what was seen of it.
    since: u64,
    tokens: Vec<u64>,
    nats: Vec<f64>,
}

struct Trainer {
    calls: MixtureClient<Channel>,
    names: Vec<String>,
    folder: PathBuf,
    rank: usize,
    state: State,
    /// What it does wrong, and at which step.
    wrong: (String, u64),
    /// Steps of this leg that were trained on the proportions of the one before.
    stale: u64,
    pace: Duration,
}

/// Not a test: what the specs of the tests beside it run. Run without one of them, it has nobody to ask, and says so.
#[test]
#[ignore = "a trainer, for the tests beside it"]
fn program() {
    let Ok(address) = env::var("BRAID_MIXTURE") else { return println!("BRAID_MIXTURE is not set") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Err(status) = runtime.block_on(train(address)) {
        eprintln!("{}", status.message());
        process::exit(3);
    }
}

async fn train(address: String) -> Result<(), tonic::Status> {
    let socket = address.strip_prefix("unix:").unwrap().to_owned();
    let connect = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connect).await.unwrap();
    let mut calls = MixtureClient::new(channel);
    let (what, at) = env::var("WRONG").map_or_else(
        |_| (String::new(), 0),
        |wrong| wrong.split_once('@').map(|(what, at)| (what.to_owned(), at.parse().unwrap())).unwrap(),
    );
    let rank: usize = env::var("RANK").map_or(0, |rank| rank.parse().unwrap());
    let folder = PathBuf::from(env::var("BRAID_MIXTURE_FOLDER").unwrap());
    let step = read(&folder, rank).map_or(0, |state| state.step);
    let domains = if what == "domains" { vec!["prose".into(), "verse".into()] } else { vec![] };
    let begun = calls.begin(BeginRequest { domains, step }).await?.into_inner();
    assert_eq!(Path::new(&begun.folder), folder);
    let names: Vec<String> = begun.domains.into_iter().map(|domain| domain.name).collect();
    let state = read(&folder, rank).unwrap_or_else(|| State {
        seen: vec![0.0; names.len()],
        tokens: vec![0; names.len()],
        nats: vec![0.0; names.len()],
        ..State::default()
    });
    fs::write(folder.join(format!("rank-{rank}.pid")), format!("{}\n", process::id())).unwrap();
    let pace = Duration::from_millis(env::var("PACE").map_or(0, |pace| pace.parse().unwrap()));
    Trainer { calls, names, folder, rank, state, wrong: (what, at), stale: 0, pace }.run().await
}

/// The newest checkpoint that all ranks have: this rank's part of it.
fn read(folder: &Path, rank: usize) -> Option<State> {
    let world: usize = env::var("WORLD_SIZE").map_or(1, |world| world.parse().unwrap());
    let has = |step: &u64| (0..world).all(|other| folder.join(format!("rank-{other}.{step}.json")).exists());
    let step = (1..=1000).rfind(has)?;
    let text = fs::read_to_string(folder.join(format!("rank-{rank}.{step}.json"))).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

impl Trainer {
    async fn run(&mut self) -> Result<(), tonic::Status> {
        loop {
            if self.is_wrong("hang") {
                return std::future::pending().await;
            }
            if self.is_wrong("die") {
                process::exit(9);
            }
            if self.is_wrong("leave") {
                return Ok(());
            }
            let step = match (self.is_wrong("future"), self.is_wrong("back")) {
                (true, _) => self.state.step + 25,
                (_, true) => self.state.step - 2,
                _ => self.state.step,
            };
            let turn = self.calls.weights(WeightsRequest { step }).await?.into_inner().turn.unwrap();
            match turn {
                Turn::Train(leg) => self.leg(&leg).await?,
                Turn::Measure(_) => {
                    let validation = self.by(&self.losses());
                    self.report(ReportRequest { step: self.state.step, validation, ..ReportRequest::default() }).await?;
                }
                Turn::Probe(plan) => self.probe(&plan).await?,
                Turn::Test(_) => {
                    let test = self.by(&self.losses());
                    self.report(ReportRequest { step: self.state.step, test, ..ReportRequest::default() }).await?;
                }
                Turn::Over(_) => return Ok(()),
            }
        }
    }

    fn is_wrong(&self, what: &str) -> bool {
        self.wrong.0 == what && self.state.step >= self.wrong.1
    }

    /// One leg, or what is left of it.
    async fn leg(&mut self, leg: &v1::Leg) -> Result<(), tonic::Status> {
        if self.state.step == leg.since_step {
            self.begin(leg.since_step);
        }
        while self.state.step < leg.until {
            tokio::time::sleep(self.pace).await;
            if self.is_wrong("die") {
                process::exit(9);
            }
            self.step(&leg.proportions);
            if self.state.step < leg.until {
                self.checkpoint();
            }
        }
        let means = self.state.nats.iter().zip(&self.state.tokens).map(|(nats, &tokens)| nats / tokens.max(1) as f64);
        let mut losses = self.by(&means.collect::<Vec<_>>());
        if self.is_wrong("nan") {
            losses.insert("code".into(), f64::NAN);
        }
        let step = self.state.step - u64::from(self.is_wrong("early"));
        let since = self.state.since + u64::from(self.is_wrong("lost"));
        let validation = if leg.needs.unwrap_or_default().validation { self.by(&self.losses()) } else { By::new() };
        let tokens = self.by(&self.state.tokens);
        let stale = std::mem::take(&mut self.stale);
        let report = ReportRequest { step, since: Some(since), tokens, losses, validation, stale, ..ReportRequest::default() };
        if self.is_wrong("fill") {
            self.wrong.0.clear();
            return self.beside_a_full_disk(report, &leg.proportions).await;
        }
        self.report(report).await?;
        // Not before: what is reported is no part of what it goes on from.
        self.checkpoint();
        Ok(())
    }

    /// What was seen of a leg, before its first step.
    fn begin(&mut self, since: u64) {
        let domains = self.names.len();
        (self.state.since, self.state.tokens, self.state.nats) = (since, vec![0; domains], vec![0.0; domains]);
    }

    fn step(&mut self, proportions: &[f64]) {
        self.trace(proportions);
        for (domain, loss) in self.losses().into_iter().enumerate() {
            let tokens = (proportions[domain] * TOKENS).round();
            self.state.seen[domain] += tokens;
            self.state.tokens[domain] += tokens as u64;
            self.state.nats[domain] += tokens * loss;
        }
        self.state.step += 1;
    }

    /// A report that nothing can be recorded of: it is owed, and two steps are made on the last weights until there is room again.
    async fn beside_a_full_disk(&mut self, owed: ReportRequest, last: &[f64]) -> Result<(), tonic::Status> {
        let filler = self.folder.join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        drop(file);
        self.begin(self.state.step);
        for _ in 0..2 {
            let refused = self.report(owed.clone()).await.unwrap_err();
            assert!(refused.code() == tonic::Code::Aborted && refused.message().contains("No space left"), "{refused}");
            self.step(last);
            self.stale += 1;
        }
        fs::remove_file(filler).unwrap();
        self.report(owed).await
    }

    async fn probe(&mut self, plan: &v1::ProbePlan) -> Result<(), tonic::Status> {
        let origin = self.state.seen.clone();
        let before = self.by(&self.losses());
        let mut branches = vec![];
        for branch in &plan.branches {
            let tokens: Vec<u64> =
                branch.proportions.iter().map(|share| (share * TOKENS).round() as u64 * branch.steps).collect();
            self.state.seen.iter_mut().zip(&tokens).for_each(|(seen, &tokens)| *seen += tokens as f64);
            branches.push(v1::probed_request::Branch { tokens: self.by(&tokens), after: self.by(&self.losses()) });
            self.state.seen.clone_from(&origin);
        }
        self.calls.probed(ProbedRequest { step: self.state.step, before, branches }).await.map(drop)
    }

    async fn report(&mut self, report: ReportRequest) -> Result<(), tonic::Status> {
        self.calls.report(report).await.map(drop)
    }

    fn losses(&self) -> Vec<f64> {
        let loss = |(domain, seen): (usize, &f64)| 1.0 + 3.0 / (1.0 + seen / (4000.0 * (domain + 1) as f64));
        self.state.seen.iter().enumerate().map(loss).collect()
    }

    fn by<T: Copy>(&self, values: &[T]) -> By<T> {
        self.names.iter().cloned().zip(values.iter().copied()).collect()
    }

    fn trace(&self, proportions: &[f64]) {
        let path = self.folder.join(format!("rank-{}.trace", self.rank));
        let line = format!("{} {proportions:?}\n", self.state.step);
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
    }

    fn checkpoint(&self) {
        if !self.state.step.is_multiple_of(CHECKPOINT) {
            return;
        }
        let fresh = self.folder.join(format!("rank-{}.new", self.rank));
        fs::write(&fresh, serde_json::to_string(&self.state).unwrap()).unwrap();
        fs::rename(fresh, self.folder.join(format!("rank-{}.{}.json", self.rank, self.state.step))).unwrap();
    }
}
