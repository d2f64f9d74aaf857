//! Measures the exchange over TCP between processes on the loopback.
//!
//! `cargo run --release -p braid-worker --example exchange_bench -- [--json] [--megabytes 64] [--ranks 4] [--tls]`
//!
//! * **Bandwidth**: each rank brings 64 MiB; the figure is bytes received by a rank over the time of the slowest rank. Beside
//!   it, in the same run and in turn with it, what plain sockets carry: as many processes, connections and directions, each
//!   with a thread that writes and a thread that reads, both from and to one small buffer as iperf does. Processor time is that
//!   of all ranks for each gigabyte received: unlike bandwidth it says the same on a machine that is busy with something else.
//!   With `--tls` the exchange has TLS on it, as in a fleet with certificates; the plain sockets have not.
//! * **Latency** of an all_gather of 4 KiB.
//! * **Scans** by one gather and by steps, beside which of them the exchange chooses.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use braid_proto::Fingerprint;
use braid_worker::{
    exchange::tcp::{GroupId, GroupSpec, Listener, Token, connect},
    identity::Identity,
};
use braid_workload::{
    JobId,
    exchange::{Direction, Exchange, ScanMethod, TypedExchange, exclusive_scan_by},
};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use std::{
    env,
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 7;
const LATENCY_ROUNDS: usize = 3000;
const SHORT: usize = 4 << 10;
const BUFFER: usize = 128 << 10;
/// The variable in which the processes of a run find their CA, with TLS.
const CA: &str = "BRAID_BENCH_CA";
const SEPARATOR: &str = "\n---\n";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let after = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let megabytes: usize = after("--megabytes").map_or(Ok(64), |text| text.parse())?;
    if let Some(rank) = after("--rank") {
        return member(rank.parse()?, megabytes << 20);
    }
    let sizes = after("--ranks").map_or_else(|| Ok(vec![2, 4, 8]), |text| text.parse().map(|size| vec![size]))?;
    let ca = if arguments.iter().any(|argument| argument == "--tls") { Some(authority()?) } else { None };
    let results = sizes.into_iter().map(|size| run(size, megabytes, ca.as_deref())).collect::<Outcome<Vec<_>>>()?;
    if arguments.iter().any(|argument| argument == "--json") {
        println!("{}", Value::from(results));
    } else {
        print(&results, megabytes);
    }
    Ok(())
}

/// Runs `size` processes and returns what rank 0 measured.
fn run(size: usize, megabytes: usize, ca: Option<&str>) -> Outcome<Value> {
    type Process = (Child, ChildStdin, BufReader<ChildStdout>);
    let mut processes = Vec::new();
    for rank in 0..size {
        let mut child = Command::new(env::current_exe()?)
            .args(["--rank", &rank.to_string(), "--megabytes", &megabytes.to_string()])
            .envs(ca.map(|ca| (CA, ca)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or("a child without pipes")?;
        processes.push((child, input, BufReader::new(output)));
    }
    let line = |(_, _, output): &mut Process| -> Outcome<Value> {
        let mut line = String::new();
        output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    let addresses = Value::from(processes.iter_mut().map(line).collect::<Outcome<Vec<_>>>()?);
    for (_, input, _) in &mut processes {
        writeln!(input, "{addresses}")?;
    }
    let measured = line(&mut processes[0])?;
    for (mut child, _, _) in processes {
        if !child.wait()?.success() {
            return Err("a rank failed".into());
        }
    }
    Ok(measured)
}

/// One rank: says where it listens, hears where the others do, measures.
fn member(rank: usize, bytes: usize) -> Outcome<()> {
    let plain = TcpListener::bind("127.0.0.1:0")?;
    let listener = match env::var(CA) {
        Ok(ca) => Listener::bind_secure("127.0.0.1:0", identity(&ca)?)?,
        Err(_) => Listener::bind("127.0.0.1:0")?,
    };
    println!("{}", json!([listener.address().to_string(), plain.local_addr()?.to_string()]));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let (members, plain_members): (Vec<String>, Vec<String>) =
        serde_json::from_str::<Vec<(String, String)>>(&line)?.into_iter().unzip();
    let size = members.len();
    let spec = GroupSpec {
        id: GroupId { first: JobId(1).task(0), epoch: 1 },
        rank,
        members,
        token: Token::new(b"bench"),
        deadline: Duration::from_secs(30),
        cancel: CancellationToken::new(),
    };
    let group = connect(&listener, &spec)?;
    let sockets = mesh_of_sockets(rank, &plain, &plain_members)?;
    let mut measured = json!({"ranks": size, "bytes": bytes});
    if size <= 4 {
        measured["bandwidth"] = bandwidth(&group, &sockets, bytes)?;
        measured["all_reduce_s"] = all_reduce(&group, bytes)?.into();
    }
    measured["latency_us"] = latency(&group)?;
    measured["scans"] = scans(&group)?;
    if rank == 0 {
        println!("{measured}");
    }
    group.barrier()?;
    Ok(())
}

/// A CA for the processes of one run: its certificate, and after it its key.
fn authority() -> Outcome<String> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params.self_signed(&key)?.pem() + SEPARATOR + &key.serialize_pem())
}

/// A node of the fleet with this CA.
fn identity(ca: &str) -> Outcome<watch::Receiver<Identity>> {
    let (authority, key) = ca.split_once(SEPARATOR).ok_or("a CA without its key")?;
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(key)?)?;
    let own = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&own, &issuer)?.pem();
    let der = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|error| error.to_string())?;
    let (ca, authority) = (Fingerprint::of(&der), Some(authority.to_owned()));
    let identity = Identity { ca, authority, certificate, key: own.serialize_pem(), issued: 0, expires: u64::MAX };
    Ok(watch::channel(identity).1)
}

/// Plain connections to all other ranks, one for each pair.
fn mesh_of_sockets(rank: usize, listener: &TcpListener, members: &[String]) -> Outcome<Vec<TcpStream>> {
    let higher = members.len() - rank - 1;
    let mut sockets = members[..rank].iter().map(TcpStream::connect).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..higher {
        sockets.push(listener.accept()?.0);
    }
    Ok(sockets)
}

/// The slowest rank's seconds for `call`, begun together.
fn slowest(group: &dyn Exchange, call: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    Ok(cost(group, call)?[0])
}

/// The same, and the processor seconds of all ranks.
fn cost(group: &dyn Exchange, mut call: impl FnMut() -> Outcome<()>) -> Outcome<[f64; 2]> {
    group.barrier()?;
    let (began, used) = (Instant::now(), processor_seconds());
    call()?;
    let mine = [began.elapsed().as_secs_f64(), processor_seconds() - used];
    let mut all = vec![[0.0; 2]; group.size()];
    group.all_gather_values(&[mine], &mut all)?;
    Ok(all.into_iter().fold([0.0, 0.0], |sum, rank| [f64::max(sum[0], rank[0]), sum[1] + rank[1]]))
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn bandwidth(group: &dyn Exchange, sockets: &[TcpStream], bytes: usize) -> Outcome<Value> {
    let received = bytes * sockets.len();
    let (mine, mut all) = (vec![group.rank() as u8 + 1; bytes], vec![0; bytes * group.size()]);
    let (mut plain, mut gather) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let plain_cost = cost(group, || carry(sockets, bytes))?;
        let gather_cost = cost(group, || Ok(group.all_gather(&mine, &mut all)?))?;
        if (0..group.size()).any(|rank| all[rank * bytes..(rank + 1) * bytes].iter().any(|&byte| byte != rank as u8 + 1)) {
            return Err("the gather is wrong".into());
        }
        // The first one touches the memory.
        if round > 0 {
            plain.push(plain_cost);
            gather.push(gather_cost);
        }
    }
    let medians = |costs: &[[f64; 2]]| [0, 1].map(|at| median(&mut costs.iter().map(|cost| cost[at]).collect::<Vec<_>>()));
    let ([plain_s, plain_cpu], [gather_s, gather_cpu]) = (medians(&plain), medians(&gather));
    let cpu_s_per_gb = |seconds: f64| seconds / (received * group.size()) as f64 * 1e9;
    let rate = |seconds: f64| received as f64 / seconds / 1e9;
    Ok(json!({
        "plain_s": plain_s, "plain_gb_s": rate(plain_s),
        "all_gather_s": gather_s, "all_gather_gb_s": rate(gather_s),
        "share": plain_s / gather_s,
        "plain_cpu_s_per_gb": cpu_s_per_gb(plain_cpu), "all_gather_cpu_s_per_gb": cpu_s_per_gb(gather_cpu),
    }))
}

/// Sends so many bytes over every connection, and receives as many.
fn carry(sockets: &[TcpStream], bytes: usize) -> Outcome<()> {
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for mut socket in sockets {
            threads.push(scope.spawn(move || -> Outcome<()> {
                let buffer = vec![1; BUFFER];
                let mut left = bytes;
                while left > 0 {
                    left -= socket.write(&buffer[..left.min(BUFFER)])?;
                }
                Ok(())
            }));
            threads.push(scope.spawn(move || -> Outcome<()> {
                let (mut buffer, mut left) = (vec![0; BUFFER], bytes);
                while left > 0 {
                    let read = socket.read(&mut buffer[..left.min(BUFFER)])?;
                    if read == 0 {
                        return Err("a rank is gone".into());
                    }
                    left -= read;
                }
                Ok(())
            }));
        }
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

fn all_reduce(group: &dyn Exchange, bytes: usize) -> Outcome<f64> {
    let mut values = vec![1.0f32; bytes / 4];
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        values.fill(1.0);
        seconds.push(slowest(group, || Ok(group.all_reduce_f32(&mut values)?))?);
    }
    Ok(median(&mut seconds))
}

/// Calls one after the other, as a training step makes them.
fn latency(group: &dyn Exchange) -> Outcome<Value> {
    let (mine, mut all) = (vec![1; SHORT], vec![0; SHORT * group.size()]);
    let mut times = Vec::with_capacity(LATENCY_ROUNDS);
    for round in 0..LATENCY_ROUNDS + LATENCY_ROUNDS / 10 {
        let began = Instant::now();
        group.all_gather(&mine, &mut all)?;
        if round >= LATENCY_ROUNDS / 10 {
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(json!({"p50": times[times.len() / 2], "p99": times[times.len() * 99 / 100]}))
}

fn scans(group: &dyn Exchange) -> Outcome<Value> {
    let mut rows = Vec::new();
    for kib in [1, 4, 16, 64, 256, 1024] {
        let mine = vec![1.0f32; kib * 256];
        let time = |method| -> Outcome<f64> {
            let mut times = Vec::new();
            for _ in 0..(4096 / kib).clamp(9, 200) {
                times.push(slowest(group, || {
                    let add =
                        |left: &mut [f32], right: &[f32]| left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
                    exclusive_scan_by(group, method, &mine, Direction::Forward, add)?;
                    Ok(())
                })?);
            }
            Ok(median(&mut times) * 1e6)
        };
        let (gather_us, steps_us) = (time(ScanMethod::Gather)?, time(ScanMethod::LogStep)?);
        let chosen = ScanMethod::choose(group.size(), kib << 10);
        rows.push(
            json!({"kib": kib, "gather_us": gather_us, "steps_us": steps_us, "steps_chosen": chosen == ScanMethod::LogStep}),
        );
    }
    Ok(rows.into())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print(results: &[Value], megabytes: usize) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    println!(
        "ranks  all_gather of {megabytes} MiB  plain sockets  share  processor s/GB  all_reduce of {megabytes} MiB   4 KiB p50 / p99"
    );
    for result in results {
        let (bandwidth, latency) = (&result["bandwidth"], &result["latency_us"]);
        println!(
            "{:5}  {:13.2} GB/s  {:8.2} GB/s  {:4.0} %   {:.2} and {:.2}  {:17.0} ms   {:6.0} / {:.0} us",
            result["ranks"],
            number(&bandwidth["all_gather_gb_s"]),
            number(&bandwidth["plain_gb_s"]),
            number(&bandwidth["share"]) * 100.0,
            number(&bandwidth["all_gather_cpu_s_per_gb"]),
            number(&bandwidth["plain_cpu_s_per_gb"]),
            number(&result["all_reduce_s"]) * 1e3,
            number(&latency["p50"]),
            number(&latency["p99"]),
        );
    }
    println!("\nranks    KiB  scan by gather  by steps   chosen");
    for result in results {
        for row in result["scans"].as_array().into_iter().flatten() {
            let chosen = if row["steps_chosen"] == true { "steps" } else { "gather" };
            let (gather, steps) = (number(&row["gather_us"]), number(&row["steps_us"]));
            println!("{:5}  {:5}  {gather:11.0} us  {steps:6.0} us  {chosen:>7}", result["ranks"], row["kib"]);
        }
    }
}
