//! Where output goes: people get tables and colours, as far as their terminal has them.

use std::env;
use std::io::{self, IsTerminal, Write};

use comfy_table::{presets, Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, Width};
use serde_json::{json, Value};
use shmkit::inspect::{Cause, Gap};

use crate::text::why;

/// How output may look.
#[derive(Clone, Copy)]
pub struct Look {
    pub colour: bool,
    /// A terminal's; what goes elsewhere is as wide as it is.
    pub width: Option<u16>,
}

impl Look {
    pub fn of_stdout() -> Look {
        let terminal = io::stdout().is_terminal();
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let width = crossterm::terminal::size().map_or(80, |(width, _)| width.max(20));
        Look { colour: terminal && !set("NO_COLOR") && !dumb, width: terminal.then_some(width) }
    }

    pub fn paint(self, color: Color, text: &str) -> String {
        let code = match color {
            Color::Green => "32",
            Color::Yellow => "33",
            Color::Red => "31",
            Color::DarkGrey => "90",
            _ => "1",
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    pub fn bold(self, text: &str) -> String {
        self.paint(Color::Reset, text)
    }
}

/// A table without lines, whose `free` columns give way where the terminal is narrow.
pub struct Rows {
    table: Table,
    look: Look,
    free: &'static [usize],
}

impl Rows {
    pub fn new(look: Look, header: &[&str], free: &'static [usize]) -> Rows {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let cell = |name: &&str| Cell::new(name).add_attribute(Attribute::Bold);
        let mut header = Row::from(header.iter().map(cell).collect::<Vec<_>>());
        header.max_height(1);
        table.set_header(header);
        if look.colour {
            table.enforce_styling().style_text_only();
        } else {
            table.force_no_tty();
        }
        Rows { table, look, free }
    }

    pub fn add(&mut self, cells: Vec<Cell>) {
        let mut row = Row::from(cells);
        if self.look.width.is_some() {
            row.max_height(1);
        }
        self.table.add_row(row);
    }

    /// The table's lines. On a terminal, what does not fit into a column is cut.
    pub fn text(mut self, indent: usize) -> String {
        for (at, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((if at == 0 { indent as u16 } else { 0 }, 2));
            column.set_constraint(if self.free.contains(&at) {
                ColumnConstraint::LowerBoundary(Width::Fixed(10))
            } else {
                ColumnConstraint::ContentWidth
            });
        }
        if let Some(width) = self.look.width {
            self.table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            self.table.set_truncation_indicator("…");
        }
        let lines = self.table.lines().map(|line| line.trim_end().to_string() + "\n");
        lines.collect()
    }
}

/// Right-aligned, for numbers.
pub fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(comfy_table::CellAlignment::Right)
}

pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => error,
        _ => io::Error::other(format!("cannot write the answer: {}", why(&error))),
    })
}

pub fn print_json(value: &Value) -> io::Result<()> {
    print(&format!("{value:#}\n"))
}

/// On stderr; that nobody can read it there is no reason to stop.
pub fn say(sentence: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "shmkit: {sentence}");
}

/// What may be missing, on stderr.
pub fn tell_gaps(gaps: &[Gap]) {
    gaps.iter().for_each(|gap| say(format_args!("there may be more: {gap}")));
}

/// The members `complete` and `gaps`, which each answer has that can be partial.
pub fn with_gaps(mut answer: Value, gaps: &[Gap]) -> Value {
    let gap = |gap: &Gap| json!({ "cause": cause(gap.cause), "count": gap.count, "message": gap.message });
    answer["complete"] = gaps.is_empty().into();
    answer["gaps"] = gaps.iter().map(gap).collect();
    answer
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Permission => "permission",
        Cause::Hidden => "hidden",
        Cause::PidNamespace => "pid-namespace",
        Cause::Unreadable => "unreadable",
        Cause::Malformed => "malformed",
        Cause::Elsewhere => "elsewhere",
        Cause::Unfollowed => "unfollowed",
        _ => "other",
    }
}
