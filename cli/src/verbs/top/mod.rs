//! `braid top`: the fleet on a terminal, as it is now.
//!
//! ```text
//!   coordinator ── every second ──▶ Fleet ──▶ Screen ──▶ draw ──▶ terminal
//!                                               ▲  │
//!                               keys ───────────┘  └──▶ Wish: quit, cancel a job
//! ```
//! [`screen`] decides and [`draw`] paints; both are pure. Here is what reads keys, asks the coordinator and owns the terminal.

mod draw;
mod screen;

use crate::{
    client::Client,
    console::Console,
    error::{Error, Result},
    wire::ReachArgs,
};
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use ratatui::DefaultTerminal;
use screen::{Fleet, Key, Screen, Wish};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// How often the coordinator is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Watch the fleet on a terminal
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: TopArgs, console: &Console) -> Result {
    if !console.live_stdout {
        return Err(Error::usage("braid top draws on a terminal, and stdout is none")
            .with_hint("for scripts: braid job ls -o json, braid node ls -o json"));
    }
    let client = Client::connect(&args.coordinator).await?;
    // The first answer comes before the screen is taken: an error then stands where a person looks for it.
    let fleet = ask(&client, None).await?;
    let mut screen = Screen::new(client.at().to_owned());
    let start = Instant::now();
    screen.see(fleet, start.elapsed());
    let mut terminal = ratatui::try_init().map_err(|error| broken(&error))?;
    let ended = watch(&client, &mut screen, &mut terminal, start).await;
    ratatui::restore();
    ended
}

async fn watch(client: &Client, screen: &mut Screen, terminal: &mut DefaultTerminal, start: Instant) -> Result {
    let mut keys = EventStream::new();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal.draw(|frame| draw::draw(frame, screen)).map_err(|error| broken(&error))?;
        let wish = tokio::select! {
            event = keys.next() => match event {
                Some(Ok(event)) => key(&event).map_or(Wish::Nothing, |key| screen.press(key)),
                Some(Err(error)) => return Err(broken(&error)),
                None => Wish::Quit,
            },
            _ = ticks.tick() => Wish::Look,
        };
        match wish {
            Wish::Quit => return Ok(()),
            Wish::Nothing => continue,
            Wish::Look => {}
            Wish::Cancel(job) => {
                if let Err(error) = client.cancel(job).await {
                    screen.tell(error.message);
                }
            }
        }
        // A coordinator that is away for a while is shown as that: the screen keeps what it last knew.
        match ask(client, screen.selected_job()).await {
            Ok(fleet) => screen.see(fleet, start.elapsed()),
            Err(error) => screen.tell(error.message),
        }
    }
}

async fn ask(client: &Client, job: Option<u64>) -> Result<Fleet> {
    let (jobs, nodes) = tokio::try_join!(client.list_jobs(), client.list_nodes())?;
    // The job may have been forgotten since.
    let tasks = match job {
        Some(id) => client.tasks(id).await.unwrap_or_default(),
        None => Vec::new(),
    };
    Ok(Fleet { jobs, nodes, tasks, tasks_of: job })
}

/// What a key means here; other keys and mouse events mean nothing.
fn key(event: &Event) -> Option<Key> {
    match event {
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => match code {
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
            KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
            KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
            KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
            KeyCode::Char('a') => Some(Key::All),
            KeyCode::Char('x') => Some(Key::Cancel),
            KeyCode::Char('y') => Some(Key::Yes),
            _ => Some(Key::Other),
        },
        Event::Resize(..) => Some(Key::Other),
        _ => None,
    }
}

fn broken(error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot draw on the terminal: {error}"))
}
