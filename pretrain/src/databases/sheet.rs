//! Sheets of the databases: xlsx, xls or csv, columns by name, cells with the place they stand at.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use calamine::{Data, Reader, open_workbook_auto};

/// Something in a sheet, or in the folder that a row names, that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Row as a spreadsheet numbers it, from 1; 0 without a sheet.
    pub row: usize,
    /// Heading of the column and its letter; empty where the whole row is meant.
    pub column: String,
    /// What is wrong.
    pub reason: String,
    /// What was made of it.
    pub remedy: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.row > 0 {
            write!(f, ", row {}", self.row)?;
        }
        if !self.column.is_empty() {
            write!(f, ", column {}", self.column)?;
        }
        write!(f, ": {}; {}", self.reason, self.remedy)
    }
}

/// A table of text: the cells of one sheet.
pub struct Sheet {
    /// The file.
    pub path: PathBuf,
    name: String,
    /// Rows of the whole sheet, the first row of the spreadsheet first.
    cells: Vec<Vec<Cell>>,
    /// Index of the row with the headings; `None` in a sheet without.
    header: Option<usize>,
}

/// A cell: what it says, and whether the spreadsheet program could not compute it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Cell {
    text: String,
    broken: bool,
}

/// Number of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column(usize);

/// Letters and digits of a heading in lower case: `Onset Frame`, `OnsetFrame` and `onset_frame` are one.
pub fn normal_form(heading: &str) -> String {
    heading.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Sheet {
    /// Reads the sheet called `name` of a workbook, or its first one where there is none of that name; of a csv file
    /// its only one.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let sheets = Self::open_all(path)?;
        let wanted = normal_form(name);
        let count = sheets.len();
        let mut chosen = None;
        for (i, sheet) in sheets.into_iter().enumerate() {
            if normal_form(&sheet.name) == wanted || (i == 0 && (name.is_empty() || count == 1)) {
                chosen = Some(sheet);
                break;
            }
            if i == 0 {
                chosen = Some(sheet);
            }
        }
        chosen.with_context(|| format!("{}: no sheet in it", path.display()))
    }

    /// Reads every sheet of a workbook, in order.
    pub fn open_all(path: &Path) -> Result<Vec<Self>> {
        let file = || path.display().to_string();
        let sheet =
            |name: &str, cells| Self { path: path.to_owned(), name: name.into(), cells, header: None };
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
            let bytes = std::fs::read(path).with_context(file)?;
            return Ok(vec![sheet("", csv(&String::from_utf8_lossy(&bytes)))]);
        }
        let mut book = open_workbook_auto(path).with_context(file)?;
        let names = book.sheet_names().to_owned();
        names
            .iter()
            .map(|name| {
                let range =
                    book.worksheet_range(name).with_context(|| format!("{}: sheet {name}", file()))?;
                let Some((rows, columns)) = range.end() else { return Ok(sheet(name, Vec::new())) };
                // From the first cell of the spreadsheet, so that rows are numbered as its reader sees them.
                let cells = (0..=rows)
                    .map(|r| {
                        (0..=columns)
                            .map(|c| range.get_value((r, c)).map_or_else(Cell::default, cell))
                            .collect()
                    })
                    .collect();
                Ok(sheet(name, cells))
            })
            .collect()
    }

    /// Takes the first row that has all of these headings (each given with its other spellings) as the head: text above
    /// it differs between editions.
    pub fn with_header(mut self, headings: &[&[&str]]) -> Result<Self> {
        let has = |row: &[Cell], names: &[&str]| {
            row.iter().any(|c| names.iter().any(|n| normal_form(&c.text) == normal_form(n)))
        };
        let limit = self.cells.len().min(40);
        self.header = (0..limit).find(|&r| headings.iter().all(|names| has(&self.cells[r], names)));
        if self.header.is_none() {
            // The row that comes nearest says best what is missing.
            let score = |r: usize| headings.iter().filter(|n| has(&self.cells[r], n)).count();
            let best = (0..limit).max_by_key(|&r| (score(r), std::cmp::Reverse(r))).unwrap_or(0);
            let missing: Vec<&str> = headings
                .iter()
                .filter(|n| !self.cells.get(best).is_some_and(|row| has(row, n)))
                .filter_map(|n| n.first().copied())
                .collect();
            bail!(
                "{}, sheet {}, row {}: no column {}",
                self.path.display(),
                self.name,
                best + 1,
                missing.join(", ")
            );
        }
        Ok(self)
    }

    /// The column with one of these headings.
    pub fn column(&self, names: &[&str]) -> Option<Column> {
        let head = &self.cells[self.header?];
        names
            .iter()
            .find_map(|n| head.iter().position(|c| normal_form(&c.text) == normal_form(n)))
            .map(Column)
    }

    /// A column by its number from 0, in a sheet without headings.
    pub fn nth(&self, index: usize) -> Column {
        Column(index)
    }

    /// Headings that pass a test, with their columns.
    pub fn columns(&self, test: impl Fn(&str) -> bool) -> Vec<(String, Column)> {
        let head = self.header.map_or(&[][..], |h| &self.cells[h]);
        head.iter()
            .enumerate()
            .filter(|(_, c)| test(&c.text))
            .map(|(i, c)| (c.text.clone(), Column(i)))
            .collect()
    }

    /// Rows below the head that are not empty.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let first = self.header.map_or(0, |h| h + 1);
        (first..self.cells.len())
            .map(|index| Row { sheet: self, index })
            .filter(|r| r.cells().iter().any(|c| !c.text.is_empty() || c.broken))
    }

    /// Heading and letter of a column.
    fn place(&self, column: Column) -> String {
        let letter = letters(column.0);
        let heading = self.header.and_then(|h| self.cells[h].get(column.0)).map_or("", |c| &c.text);
        if heading.is_empty() { letter } else { format!("{heading} ({letter})") }
    }
}

/// A row of a sheet.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    sheet: &'a Sheet,
    index: usize,
}

impl<'a> Row<'a> {
    fn cells(&self) -> &'a [Cell] {
        &self.sheet.cells[self.index]
    }

    /// Number as a spreadsheet shows it.
    pub fn number(&self) -> usize {
        self.index + 1
    }

    /// What a cell says, without blanks at its ends; whole numbers without a decimal point.
    pub fn text(&self, column: Column) -> &'a str {
        self.cells().get(column.0).map_or("", |c| &c.text)
    }

    /// What the cell of a column that may not be there says.
    pub fn text_of(&self, column: Option<Column>) -> &'a str {
        column.map_or("", |c| self.text(c))
    }

    /// All cells.
    pub fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.cells().iter().map(|c| c.text.as_str())
    }

    /// Something wrong with a cell, or with the whole row.
    pub fn problem(&self, column: Option<Column>, reason: String, remedy: &'static str) -> Problem {
        Problem {
            file: self.sheet.path.clone(),
            row: self.number(),
            column: column.map_or_else(String::new, |c| self.sheet.place(c)),
            reason,
            remedy,
        }
    }

    /// A frame number; `None` for an empty cell. The error says what stands there instead.
    pub fn frame(&self, column: Column) -> Result<Option<u32>, String> {
        let Some(cell) = self.cells().get(column.0) else { return Ok(None) };
        if cell.broken {
            return Err("the cell holds an error value".into());
        }
        if cell.text.is_empty() {
            return Ok(None);
        }
        let value: f64 = cell.text.parse().map_err(|_| format!("\"{}\" is not a frame number", cell.text))?;
        if value < 0.0 || value.fract() != 0.0 || value > f64::from(u32::MAX) {
            return Err(format!("{value} is not a frame number"));
        }
        Ok(Some(value as u32))
    }
}

fn cell(data: &Data) -> Cell {
    let text = match data {
        Data::Int(v) => v.to_string(),
        // Frame numbers come as floats; nobody means 46.0.
        Data::Float(v) if v.fract() == 0.0 && v.abs() < 1e15 => format!("{}", *v as i64),
        Data::Float(v) => v.to_string(),
        Data::String(s) | Data::DateTimeIso(s) | Data::DurationIso(s) => s.trim().to_owned(),
        Data::Bool(b) => b.to_string(),
        Data::DateTime(d) => d.as_f64().to_string(),
        Data::Error(_) => return Cell { text: String::new(), broken: true },
        Data::Empty => String::new(),
    };
    Cell { text, broken: false }
}

/// `0 -> A`, `26 -> AA`.
fn letters(mut index: usize) -> String {
    let mut out = Vec::new();
    loop {
        out.push(b'A' + (index % 26) as u8);
        if index < 26 {
            break;
        }
        index = index / 26 - 1;
    }
    out.iter().rev().map(|&b| b as char).collect()
}

/// Comma-separated values with quotes (RFC 4180).
fn csv(text: &str) -> Vec<Vec<Cell>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let finish = |field: &mut String| Cell { text: std::mem::take(field).trim().to_owned(), broken: false };
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(finish(&mut field)),
            '\n' if !quoted => {
                row.push(finish(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            c => field.push(c),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(finish(&mut field));
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_the_letters_of_a_spreadsheet() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(letters), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }

    #[test]
    fn csv_keeps_quoted_commas_and_line_ends() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("SAMM.csv");
        std::fs::write(&path, "notes above\r\nSubject,Action Units,Onset Frame\r\n006,\"4, 7\",12\r\n\r\n007,\"a \"\"b\"\"\nc\",-1\n")
            .expect("writes");
        let sheet = Sheet::open(&path, "")
            .and_then(|s| s.with_header(&[&["Subject"], &["OnsetFrame"]]))
            .expect("reads");
        let (aus, onset) =
            (sheet.column(&["action units"]).expect("AUs"), sheet.column(&["Onset Frame"]).expect("onset"));
        let rows: Vec<_> = sheet.rows().collect();
        assert_eq!((rows.len(), rows[0].text(aus), rows[1].text(aus)), (2, "4, 7", "a \"b\"\nc"));
        assert_eq!(rows[0].frame(onset), Ok(Some(12)));
        let reason = rows[1].frame(onset).expect_err("negative");
        let problem = rows[1].problem(Some(onset), reason, "left out").to_string();
        assert!(
            problem.ends_with("SAMM.csv, row 5, column Onset Frame (C): -1 is not a frame number; left out"),
            "{problem}"
        );
        let missing =
            Sheet::open(&path, "").and_then(|s| s.with_header(&[&["Subject"], &["Apex Frame"]])).err();
        let missing = missing.expect("no apex").to_string();
        assert!(missing.contains("row 2: no column Apex Frame"), "{missing}");
    }
}
