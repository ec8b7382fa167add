//! The words in which the databases write action units.
//!
//! `[LRTB]? A? number ([A-E](/[A-E])?)?`, joined by `+`, a comma (also the full-width one) or `or`; with or without the
//! prefix `AU`, in parentheses or not. `ref(24)` and `4(k)` mark what was there before the movement.

use glint::au::Side;

/// One action unit as it was coded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coded {
    /// FACS number; also of units that glint does not measure.
    pub au: u8,
    /// Side; the upper or lower half alone (T, B) is written as both.
    pub side: Side,
    /// Intensity, 1 (A) to 5 (E), the mean of `A/B`; `None` where none was coded.
    pub intensity: Option<f32>,
    /// False for one of several alternatives (`L12 or L14`).
    pub certain: bool,
}

/// Reads the words of a cell. `?` and an empty cell mean that nothing was coded. The error says what it stumbled over.
pub fn parse(text: &str) -> Result<Vec<Coded>, String> {
    let chars: Vec<char> =
        text.chars().map(|c| if c == '，' { ',' } else { c.to_ascii_uppercase() }).collect();
    let mut reader = Reader { chars: &chars, at: 0, out: Vec::new() };
    reader.run()?;
    Ok(reader.out)
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    out: Vec<Coded>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn starts_with(&self, word: &str) -> bool {
        word.chars().enumerate().all(|(i, c)| self.peek(i) == c)
    }

    fn run(&mut self) -> Result<(), String> {
        // Alternatives: what `or` joins is uncertain on both of its sides.
        let mut alternative = false;
        while self.at < self.chars.len() {
            if self.starts_with("OR") {
                if let Some(last) = self.out.last_mut() {
                    last.certain = false;
                }
                alternative = true;
                self.at += 2;
            } else if self.starts_with("REF(") {
                self.at += 4;
                while self.at < self.chars.len() && self.peek(0) != ')' {
                    self.at += 1;
                }
            } else if self.starts_with("(K)") {
                // Held before the movement began.
                self.out.pop();
                self.at += 3;
            } else if self.peek(0).is_whitespace()
                || matches!(self.peek(0), '+' | ',' | ';' | '(' | ')' | '?' | '-' | '/')
            {
                self.at += 1;
            } else {
                let mut coded = self.token()?;
                coded.certain = !std::mem::take(&mut alternative);
                self.out.push(coded);
            }
        }
        Ok(())
    }

    fn token(&mut self) -> Result<Coded, String> {
        let start = self.at;
        let fail = |reader: &Self| {
            let rest: String = reader.chars[start..].iter().take(8).collect();
            format!("\"{rest}\" is not an action unit")
        };
        let mut side = Side::Both;
        if matches!(self.peek(0), 'L' | 'R' | 'T' | 'B') {
            side = match self.peek(0) {
                'L' => Side::Left,
                'R' => Side::Right,
                _ => Side::Both,
            };
            self.at += 1;
        }
        // The prefix `AU`, or a lone `A` as in `A12`.
        if self.peek(0) == 'A' {
            self.at += 1 + usize::from(self.peek(1) == 'U');
        }
        if matches!(self.peek(0), 'L' | 'R') && side == Side::Both {
            side = if self.peek(0) == 'L' { Side::Left } else { Side::Right };
            self.at += 1;
        }
        while self.peek(0) == ' ' {
            self.at += 1;
        }
        let digits = (0..4).take_while(|&i| self.peek(i).is_ascii_digit()).count();
        let number: String = (0..digits).map(|i| self.peek(i)).collect();
        let au: u8 = number.parse().map_err(|_| fail(self))?;
        self.at += digits;
        let grade = |c: char| ('A'..='E').contains(&c).then(|| (c as u8 - b'A' + 1) as f32);
        // A letter belongs to the number unless another number follows it (`4A12` would be two).
        let mut intensity = None;
        if let Some(first) = grade(self.peek(0)).filter(|_| !self.peek(1).is_alphanumeric()) {
            self.at += 1;
            intensity = Some(first);
            if self.peek(0) == '/'
                && let Some(second) = grade(self.peek(1))
            {
                intensity = Some(0.5 * (first + second));
                self.at += 2;
            }
        }
        if self.peek(0).is_ascii_alphabetic() && !self.starts_with("OR") {
            return Err(fail(self));
        }
        Ok(Coded { au, side, intensity, certain: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(u8, char, Option<f32>, bool)> {
        let side = |s| match s {
            Side::Left => 'L',
            Side::Right => 'R',
            Side::Both => 'B',
        };
        let all = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        all.into_iter().map(|c| (c.au, side(c.side), c.intensity, c.certain)).collect()
    }

    #[test]
    fn every_published_spelling_is_read() {
        assert_eq!(words("4+L7 + R12"), [(4, 'B', None, true), (7, 'L', None, true), (12, 'R', None, true)]);
        assert_eq!(words("?"), []);
        assert_eq!(words(""), []);
        assert_eq!(words("AU12B, AU 6"), [(12, 'B', Some(2.0), true), (6, 'B', None, true)]);
        assert_eq!(words("10A/B"), [(10, 'B', Some(1.5), true)]);
        assert_eq!(words("L12 or L14"), [(12, 'L', None, false), (14, 'L', None, false)]);
        assert_eq!(
            words("(R6 or R12) + R15"),
            [(6, 'R', None, false), (12, 'R', None, false), (15, 'R', None, true)]
        );
        assert_eq!(words("T18+B18"), [(18, 'B', None, true), (18, 'B', None, true)]);
        assert_eq!(words("A12+ref(24)"), [(12, 'B', None, true)]);
        assert_eq!(words("AU4(k)+L7"), [(7, 'L', None, true)]);
        assert_eq!(words("1，2,5"), [(1, 'B', None, true), (2, 'B', None, true), (5, 'B', None, true)]);
        assert_eq!(words("l4e+17"), [(4, 'L', Some(5.0), true), (17, 'B', None, true)]);
    }

    #[test]
    fn what_is_no_action_unit_is_named() {
        assert_eq!(parse("4+smile"), Err("\"SMILE\" is not an action unit".into()));
        assert_eq!(parse("999"), Err("\"999\" is not an action unit".into()));
        assert!(parse("12x").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn codes_come_back(codes in proptest::collection::vec((1u8..70, 0usize..4, proptest::option::of(0u8..5)), 0..6), joint in 0usize..4) {
            let joint = ["+", ", ", "，", " + "][joint];
            let text: Vec<String> = codes.iter().map(|(au, side, grade)| {
                let grade = grade.map_or(String::new(), |g| ((b'A' + g) as char).to_string());
                format!("{}{au}{grade}", ["", "L", "R", "AU"][*side])
            }).collect();
            let parsed = parse(&text.join(joint)).expect("own words");
            proptest::prop_assert_eq!(parsed.len(), codes.len());
            for (c, (au, side, grade)) in parsed.iter().zip(&codes) {
                proptest::prop_assert_eq!(c.au, *au);
                proptest::prop_assert_eq!(c.side, [Side::Both, Side::Left, Side::Right, Side::Both][*side]);
                proptest::prop_assert_eq!(c.intensity, grade.map(|g| f32::from(g) + 1.0));
            }
        }
    }
}
