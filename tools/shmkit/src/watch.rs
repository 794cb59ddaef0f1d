//! A live view, drawn anew until it is ended.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::Color;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use crossterm::{cursor, execute, queue};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::Watch;
use crate::out::Look;
use crate::size::human;
use crate::text::{count, printable};
use crate::{find, objects, Answer};

enum Act {
    Look,
    Draw,
    End,
}

pub fn run(arguments: &Watch) -> Answer {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err("watch needs a terminal: `shmkit list` tells the same once".into());
    }
    let signal = Arc::new(AtomicUsize::new(0));
    // Not SIGHUP: there is no terminal to put right then.
    for number in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)?;
    }
    let screen = Screen::take()?;
    let interval = Duration::from_secs_f64(arguments.interval.max(0.05));
    let (mut text, mut first) = (look(arguments), 0);
    let mut next = Instant::now() + interval;
    loop {
        first = draw(&text, first)?;
        match wait(next, &signal, &mut first)? {
            Act::End => break,
            Act::Draw => {}
            Act::Look => {
                text = look(arguments);
                next = Instant::now() + interval;
            }
        }
    }
    drop(screen);
    if let number @ 1.. = signal.load(Ordering::Relaxed) {
        signal_hook::low_level::emulate_default_handler(number as i32)?;
    }
    Ok(true)
}

/// The heading, and what is below it.
fn look(arguments: &Watch) -> (String, String) {
    let look = Look::of_stdout();
    let title = |what: &str| look.bold("shmkit") + "  " + what + &look.paint(Color::DarkGrey, "  q ends");
    match &arguments.target {
        None => {
            let survey = arguments.kinds.survey();
            let used = survey.objects.iter().filter_map(|object| object.used_bytes);
            let used = human(used.fold(0, u64::saturating_add));
            let partial = if survey.is_complete() { "" } else { ", there may be more" };
            let what = format!("{}, {used} in use{partial}", count(survey.objects.len() as u64, "object"));
            (title(&what), objects::table(survey.objects.iter(), &survey, look))
        }
        Some(target) => {
            let found = find::anything(target, &arguments.kinds);
            let text =
                if found.is_empty() { "nothing of that name\n".to_string() } else { found.text(look, 16) };
            (title(&printable(target)), text)
        }
    }
}

/// Draws what fits, from the line `first` on, or from the last that leaves none empty.
fn draw((title, text): &(String, String), first: usize) -> io::Result<usize> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let height = usize::from(terminal::size()?.1).saturating_sub(2);
    let lines: Vec<&str> = text.lines().collect();
    let first = first.min(lines.len().saturating_sub(height));
    queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
    let end = Clear(ClearType::UntilNewLine);
    write!(out, "{title}{end}\r\n{end}")?;
    for line in lines.iter().skip(first).take(height) {
        write!(out, "\r\n{line}{end}")?;
    }
    queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
    out.flush()?;
    Ok(first)
}

/// Until it is time to look again, or a key or a signal asks for something.
fn wait(next: Instant, signal: &AtomicUsize, first: &mut usize) -> io::Result<Act> {
    /// A signal waits no longer.
    const SLICE: Duration = Duration::from_millis(50);
    let stdin = io::stdin();
    loop {
        if signal.load(Ordering::Relaxed) != 0 {
            return Ok(Act::End);
        }
        let left = next.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Act::Look);
        }
        // First by ourselves: crossterm reads a terminal that is gone again and again, and never returns.
        let mut keys = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let slice = PollTimeout::try_from(left.min(SLICE)).unwrap_or(PollTimeout::ZERO);
        let ready = poll(&mut keys, slice).unwrap_or(0);
        if ready > 0 && keys[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)) {
            return Ok(Act::End);
        }
        if !event::poll(Duration::ZERO)? {
            continue;
        }
        let page = usize::from(terminal::size()?.1).saturating_sub(3);
        match event::read()? {
            Event::Resize(..) => return Ok(Act::Look),
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                *first = match key.code {
                    KeyCode::Char('c' | 'd') if control => return Ok(Act::End),
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(Act::End),
                    KeyCode::Down | KeyCode::Char('j') => *first + 1,
                    KeyCode::Up | KeyCode::Char('k') => first.saturating_sub(1),
                    KeyCode::PageDown | KeyCode::Char(' ') => *first + page,
                    KeyCode::PageUp => first.saturating_sub(page),
                    KeyCode::Home => 0,
                    _ => continue,
                };
                return Ok(Act::Draw);
            }
            _ => {}
        }
    }
}

/// The terminal's second screen, with keys as they come. Dropping it gives the first one back.
struct Screen;

impl Screen {
    fn take() -> io::Result<Screen> {
        terminal::enable_raw_mode()?;
        let screen = Screen;
        execute!(io::stdout(), terminal::EnterAlternateScreen, terminal::DisableLineWrap, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ =
            execute!(io::stdout(), cursor::Show, terminal::EnableLineWrap, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
