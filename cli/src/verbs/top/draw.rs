//! Paints a [`Screen`]. Every state is a word as well as a colour.

use super::screen::Screen;
use crate::{
    console::harmless,
    output::{node_word, state_word, task_word},
    units::show_bytes,
};
use braid_proto::v1::{Job, JobState, Node, NodeState, Task, TaskState};
use braid_workload::TaskId;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState},
};

/// Characters of a bar.
const BAR: usize = 12;
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let nodes = u16::try_from(screen.fleet.nodes.len()).unwrap_or(u16::MAX).saturating_add(3).min(frame.area().height / 3);
    let parts =
        [Constraint::Length(1), Constraint::Fill(2), Constraint::Fill(3), Constraint::Length(nodes), Constraint::Length(1)];
    let [head, jobs, tasks, fleet, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(headline(screen)).style(BOLD), head);
    draw_jobs(frame, jobs, screen);
    draw_tasks(frame, tasks, screen);
    draw_nodes(frame, fleet, &screen.fleet.nodes);
    frame.render_widget(footer(screen), foot);
}

fn headline(screen: &Screen) -> String {
    let nodes = &screen.fleet.nodes;
    let ready = nodes.iter().filter(|node| node.state() == NodeState::Ready).count();
    let kept = match nodes.iter().filter(|node| node.cordoned || node.draining).count() {
        0 => String::new(),
        kept => format!(" ({kept} cordoned)"),
    };
    let (running, waiting) = screen
        .fleet
        .jobs
        .iter()
        .fold((0, 0), |(running, waiting), job| (running + job.tasks_running, waiting + job.tasks_waiting));
    format!(
        "braid at {}: {ready} of {} nodes ready{kept}, {} threads, {running} tasks running, {waiting} waiting",
        screen.at,
        nodes.len(),
        nodes.iter().map(|node| node.threads).sum::<u32>(),
    )
}

fn draw_jobs(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let jobs = screen.jobs();
    let rows = jobs.iter().map(|job| job_row(job, screen));
    let widths = [8, 9, 11, 13, 19, 11].map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    let title = if screen.all { " jobs " } else { " jobs that run " };
    let table = table(rows, widths, ["JOB", "KIND", "STATE", "TASKS", "BYTES", "SPEED", "LABEL"], title)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(screen.selected_row());
    frame.render_stateful_widget(table, area, &mut state);
}

fn job_row<'a>(job: &'a Job, screen: &Screen) -> Row<'a> {
    let reading = screen.readings.get(&job.id);
    let color = match job.state() {
        JobState::Done => Color::Green,
        JobState::Failed => Color::Red,
        JobState::Cancelling | JobState::Cancelled => Color::Yellow,
        JobState::Running | JobState::Unspecified => Color::Reset,
    };
    let all = u64::from(job.tasks_waiting) + u64::from(job.tasks_running) + u64::from(job.tasks_done);
    let bytes = job.bytes_done.saturating_add(job.bytes_reused);
    let total = job.bytes_total.max(job.bytes_done).saturating_add(job.bytes_reused);
    let speed = reading.and_then(|reading| reading.bytes_per_second).map(|rate| format!("{}/s", show_bytes(rate as u64)));
    // Why it waits matters more than what it is called.
    let label = match (&job.reason, &job.failure) {
        (Some(reason), _) => format!("{}: {reason}", job.label),
        (None, Some(failure)) => format!("{}: {}", job.label, failure.message),
        (None, None) => job.label.clone(),
    };
    Row::new([
        Cell::from(job.id.to_string()),
        Cell::from(text(&job.kind)),
        Cell::from(reading.map_or_else(|| state_word(job.state()), |reading| reading.phase)).style(color),
        Cell::from(format!("{}/{all}", job.tasks_done)),
        Cell::from(bar(bytes, total)),
        Cell::from(speed.unwrap_or_default()),
        Cell::from(text(&label)),
    ])
}

fn draw_tasks(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let mut tasks: Vec<&Task> = screen.fleet.tasks.iter().collect();
    // What runs is looked for first, then what went wrong, then what waits.
    let rank = |task: &Task| match task.state() {
        TaskState::TaskAssigned => 0,
        TaskState::TaskLost => 1,
        TaskState::TaskFailed => 2,
        TaskState::TaskWaiting => 3,
        TaskState::TaskCancelled | TaskState::TaskDone | TaskState::Unspecified => 4,
    };
    tasks.sort_by_key(|task| rank(task));
    let rows = tasks.into_iter().take(usize::from(area.height)).map(|task| {
        let bytes = task.demand.as_ref().map_or(0, |demand| demand.bytes);
        Row::new([
            Cell::from(TaskId::from(task.id.unwrap_or_default()).to_string()),
            Cell::from(task_word(task.state())),
            Cell::from(task.attempt.to_string()),
            Cell::from(text(task.node.as_deref().unwrap_or("-"))),
            Cell::from(bar(task.bytes_done, bytes)),
            Cell::from(text(
                &task.failure.as_ref().map_or_else(|| task.label.clone(), |f| format!("{} ({})", task.label, f.message)),
            )),
        ])
    });
    let widths = [10, 10, 4, 20, 19].map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    let title = screen.selected_job().map_or_else(|| " tasks ".to_owned(), |id| format!(" tasks of job {id} "));
    frame.render_widget(table(rows, widths, ["TASK", "STATE", "TRY", "NODE", "BYTES", "LABEL"], &title), area);
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, nodes: &[Node]) {
    let rows = nodes.iter().map(|node| {
        let color = match node.state() {
            NodeState::Ready if node.cordoned || node.draining => Color::Yellow,
            NodeState::Ready => Color::Green,
            NodeState::Silent => Color::Red,
            NodeState::Unspecified => Color::Reset,
            NodeState::Away => Color::DarkGray,
        };
        Row::new([
            Cell::from(text(&node.name)),
            Cell::from(node_word(node)).style(color),
            Cell::from(node.tasks_running.to_string()),
            Cell::from(node.threads.to_string()),
            Cell::from(show_bytes(node.memory)),
            Cell::from(node.bytes_per_second.map(|rate| format!("{}/s", show_bytes(rate))).unwrap_or_default()),
            Cell::from(text(&node.address)),
        ])
    });
    let widths = [20, 16, 6, 8, 11, 13].map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    frame.render_widget(table(rows, widths, ["NODE", "STATE", "TASKS", "THREADS", "MEMORY", "RATE", "ADDRESS"], " nodes "), area);
}

fn table<'a, const N: usize>(
    rows: impl Iterator<Item = Row<'a>>,
    widths: impl Iterator<Item = Constraint>,
    heading: [&'static str; N],
    title: &str,
) -> Table<'a> {
    Table::new(rows, widths)
        .header(Row::new(heading).style(BOLD))
        .block(Block::new().borders(Borders::TOP).title(Line::from(title.to_owned())))
}

fn footer(screen: &Screen) -> Paragraph<'static> {
    match (screen.asking, &screen.trouble) {
        (Some(job), _) => Paragraph::new(format!("cancel job {job}? y: yes, any other key: no")).style(BOLD),
        (None, Some(trouble)) => Paragraph::new(format!("not current: {}", text(trouble))).style(BOLD.fg(Color::Red)),
        (None, None) => Paragraph::new("q quit   up/down choose a job   a all jobs or those that run   x cancel the job"),
    }
}

/// `#####.......  42%`, or nothing where there is no size.
fn bar(done: u64, total: u64) -> String {
    if total == 0 {
        return String::new();
    }
    let share = (done as f64 / total as f64).clamp(0.0, 1.0);
    let full = (share * BAR as f64) as usize;
    format!("{}{} {:3.0}%", "#".repeat(full), ".".repeat(BAR - full), 100.0 * share)
}

/// Names and labels come from elsewhere: they stay on their line and steer nothing.
fn text(of: &str) -> String {
    harmless(of).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::top::screen::{Fleet, Key};
    use braid_proto::v1::{Demand, TaskRef};
    use ratatui::{Terminal, backend::TestBackend};
    use std::time::Duration;

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, screen)).unwrap();
        let text = terminal.backend().to_string();
        // One line of the screen is one line of the text, without its frame of quotes.
        text.lines().map(|line| line.trim_matches('"').trim_end()).collect::<Vec<_>>().join("\n")
    }

    fn fleet(done: u64) -> Fleet {
        let job = |id, state: JobState, label: &str| Job {
            id,
            kind: "merge".into(),
            label: label.into(),
            state: state.into(),
            tasks_done: 3,
            tasks_running: 1,
            tasks_waiting: 4,
            bytes_total: 2_000_000_000,
            bytes_done: done,
            ..Default::default()
        };
        let waits = Job { reason: Some("no worker has 80 GB free".into()), tasks_running: 0, ..job(3, JobState::Running, "big") };
        let task = |index, state: TaskState, node: Option<&str>| Task {
            id: Some(TaskRef { job: 4, index }),
            label: format!("tensors {index}"),
            state: state.into(),
            attempt: 1,
            node: node.map(Into::into),
            demand: Some(Demand { bytes: 1000, ..Default::default() }),
            bytes_done: 250,
            ..Default::default()
        };
        let node = |name: &str, state: NodeState| Node {
            name: name.into(),
            state: state.into(),
            threads: 8,
            memory: 64_000_000_000,
            tasks_running: 1,
            bytes_per_second: Some(900_000_000),
            address: format!("{name}.local"),
            ..Default::default()
        };
        Fleet {
            jobs: vec![job(2, JobState::Done, "old"), waits, job(4, JobState::Running, "ties of 4\x1b[2J -> out")],
            nodes: vec![
                node("alpha", NodeState::Ready),
                Node { cordoned: true, ..node("beta", NodeState::Ready) },
                Node { cordoned: true, draining: true, ..node("gamma", NodeState::Silent) },
            ],
            tasks: vec![task(0, TaskState::TaskDone, Some("alpha")), task(1, TaskState::TaskAssigned, Some("alpha"))],
            tasks_of: Some(4),
        }
    }

    #[test]
    fn jobs_tasks_and_nodes_are_on_one_screen() {
        let mut screen = Screen::new("head:7117".into());
        screen.see(fleet(0), Duration::ZERO);
        screen.see(fleet(900_000_000), Duration::from_secs(1));
        insta::assert_snapshot!(drawn(&screen, 100, 20), @"
        braid at head:7117: 2 of 3 nodes ready (2 cordoned), 24 threads, 2 tasks running, 12 waiting
         jobs that run ─────────────────────────────────────────────────────────────────────────────────────
        JOB      KIND      STATE       TASKS         BYTES               SPEED       LABEL
        4        merge     merging     3/8           #####.......  45%   900.0 MB/s  ties of 4 [2J -> out
        3        merge     waiting     3/7           #####.......  45%   900.0 MB/s  big: no worker has 80 G

         tasks of job 4 ────────────────────────────────────────────────────────────────────────────────────
        TASK       STATE      TRY  NODE                 BYTES               LABEL
        4.1        running    1    alpha                ###.........  25%   tensors 1
        4.0        done       1    alpha                ###.........  25%   tensors 0



         nodes ─────────────────────────────────────────────────────────────────────────────────────────────
        NODE                 STATE            TASKS  THREADS  MEMORY      RATE          ADDRESS
        alpha                ready            1      8        64.0 GB     900.0 MB/s    alpha.local
        beta                 ready, cordoned  1      8        64.0 GB     900.0 MB/s    beta.local
        gamma                silent, draining 1      8        64.0 GB     900.0 MB/s    gamma.local

        q quit   up/down choose a job   a all jobs or those that run   x cancel the job
        ");
    }

    #[test]
    fn a_question_and_trouble_take_the_last_line() {
        let mut screen = Screen::new("head:7117".into());
        screen.see(fleet(0), Duration::ZERO);
        screen.press(Key::Cancel);
        assert!(drawn(&screen, 80, 20).ends_with("cancel job 4? y: yes, any other key: no"));
        screen.press(Key::Other);
        screen.tell("cannot reach\nhead".into());
        assert!(drawn(&screen, 80, 20).ends_with("not current: cannot reach head"));
    }

    #[test]
    fn any_size_of_terminal_and_any_fleet_can_be_drawn() {
        for (width, height) in [(1, 1), (10, 3), (40, 6), (300, 2)] {
            drawn(&Screen::new(String::new()), width, height);
            let mut screen = Screen::new("x".into());
            let mut many = fleet(u64::MAX);
            many.nodes = (0..100_000).map(|_| Node::default()).collect();
            screen.see(many, Duration::ZERO);
            drawn(&screen, width, height);
        }
    }

    #[test]
    fn a_bar_is_never_longer_than_its_place() {
        assert_eq!(bar(0, 0), "");
        assert_eq!(bar(1, 2), "######......  50%");
        assert_eq!(bar(9, 2), "############ 100%");
    }
}
