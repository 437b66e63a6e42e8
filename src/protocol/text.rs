//! The text dialect: words, numbers, labels.

use crate::base::{
    DIMENSION_MAX, Error, ErrorCode, LabelFilter, Labels, Points, Result, SeriesName, TimeRange, ValueType,
};

use super::help::{COMMANDS, unknown_command};
use super::{
    Analysis, AnalysisKind, Command, ExportFormat, Like, Place, PointsForm, Similar, TimeSelection,
    WATCH_POINTS_DEFAULT, WATCH_POINTS_MAX, WATCH_THRESHOLD_DEFAULT, WatchRequest, With,
};

fn syntax_error(message: impl std::fmt::Display, command: &str) -> Error {
    let syntax = COMMANDS.iter().find(|help| help.name == command).map_or("HELP", |help| help.syntax);
    Error::new(ErrorCode::ParseError, format!("{message}; the syntax is: {syntax}"))
}

/// Splits a line at blanks that stand outside of double quotes. Quotes and escapes
/// stay in the words.
///
/// # Errors
/// `PARSE_ERROR` where a quote is not closed.
pub fn split_words(line: &str) -> Result<Vec<&str>> {
    let mut words = Vec::new();
    let mut start = None;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        if quoted {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = false,
                _ => {}
            }
        } else if c.is_whitespace() {
            words.extend(start.take().and_then(|start| line.get(start..at)));
            continue;
        } else if c == '"' {
            quoted = true;
        }
        start.get_or_insert(at);
    }
    if quoted {
        return Err(Error::new(ErrorCode::ParseError, "a double quote is not closed; end the value with \""));
    }
    words.extend(start.and_then(|start| line.get(start..)));
    Ok(words)
}

/// Takes the quotes and escapes off a word that is quoted as a whole.
fn unquote(word: &str) -> Result<String> {
    let Some(inner) = word.strip_prefix('"') else { return Ok(word.to_owned()) };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            '"' => {
                let rest = chars.as_str();
                if rest.is_empty() {
                    return Ok(out);
                }
                return Err(Error::new(
                    ErrorCode::ParseError,
                    format!("'{rest}' follows a closing quote; quote the whole value"),
                ));
            }
            c => out.push(c),
        }
    }
    Err(Error::new(ErrorCode::ParseError, "a double quote is not closed; end the value with \""))
}

/// Reads `k=v,k2="v 2"`.
///
/// # Errors
/// `PARSE_ERROR` where that is not its form, `INVALID_ARGUMENT` where a key or value
/// is not allowed.
pub fn parse_labels(text: &str) -> Result<Labels> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            return Err(Error::new(
                ErrorCode::ParseError,
                format!("label '{rest}' has no '='; write labels as k=v,k2=v2"),
            ));
        };
        let end = value_end(after);
        let (value, after) = after.split_at_checked(end).unwrap_or((after, ""));
        if !value.starts_with('"') && value.contains(['"', '=']) {
            return Err(Error::new(
                ErrorCode::ParseError,
                format!("label value {value} holds a quote or '='; put it in double quotes"),
            ));
        }
        pairs.push((key, unquote(value)?));
        rest = match after.strip_prefix(',') {
            Some("") => {
                return Err(Error::new(
                    ErrorCode::ParseError,
                    "labels end with a comma; remove it, or add k=v",
                ));
            }
            Some(after) => after,
            None => after,
        };
    }
    Labels::new(pairs)
}

/// Where a label value ends: at a comma outside of quotes.
fn value_end(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

struct Arguments<'a> {
    command: &'static str,
    words: std::vec::IntoIter<&'a str>,
}

impl<'a> Arguments<'a> {
    fn word(&mut self, what: &str) -> Result<&'a str> {
        self.words.next().ok_or_else(|| syntax_error(format_args!("{what} is missing"), self.command))
    }

    fn series(&mut self) -> Result<SeriesName> {
        SeriesName::new(self.word("the series name")?)
    }

    fn integer(&mut self, what: &str) -> Result<i64> {
        let word = self.word(what)?;
        integer(word, what).map_err(|e| match e.code() {
            ErrorCode::ParseError => syntax_error(e.message(), self.command),
            _ => e,
        })
    }

    fn count(&mut self, what: &str, least: usize) -> Result<usize> {
        let found = self.integer(what)?;
        match usize::try_from(found) {
            Ok(count) if count >= least => Ok(count),
            _ => Err(Error::invalid(format!("{what} is {found}; use {least} or more"))),
        }
    }

    fn float(&mut self, what: &str) -> Result<f64> {
        let word = self.word(what)?;
        number(word, what).map_err(|e| match e.code() {
            ErrorCode::ParseError => syntax_error(e.message(), self.command),
            _ => e,
        })
    }

    fn values(&mut self) -> Result<Vec<f64>> {
        let word = self.word("the list of values")?;
        word.split(',')
            .map(|value| {
                number(value, "value").map_err(|e| match e.code() {
                    ErrorCode::ParseError => syntax_error(e.message(), self.command),
                    _ => e,
                })
            })
            .collect()
    }

    fn labels(&mut self) -> Result<Labels> {
        self.words.next().map_or(Ok(Labels::empty()), parse_labels)
    }

    fn range(&mut self) -> Result<TimeRange> {
        let (start_ns, end_ns) = (self.integer("start_ns")?, self.integer("end_ns")?);
        TimeRange::new(start_ns, end_ns)
    }

    fn end(mut self) -> Result<()> {
        match self.words.next() {
            None => Ok(()),
            Some(word) => Err(syntax_error(format_args!("'{word}' is one argument too many"), self.command)),
        }
    }
}

fn integer(word: &str, what: &str) -> Result<i64> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let unit = if what.ends_with("_ns") { "; times are nanoseconds since 1970" } else { "" };
        return Err(Error::new(ErrorCode::ParseError, format!("{what} '{word}' is not an integer{unit}")));
    }
    word.parse().map_err(|_| {
        Error::invalid(format!("{what} {word} is out of range; use {} to {}", i64::MIN, i64::MAX))
    })
}

fn number(word: &str, what: &str) -> Result<f64> {
    match word.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => {
            Err(Error::invalid(format!("{what} {word} is not finite; NaN and infinities are not allowed")))
        }
        Err(_) => Err(Error::new(ErrorCode::ParseError, format!("{what} '{word}' is not a number"))),
    }
}

/// Understands one text command.
///
/// # Errors
/// `UNKNOWN_COMMAND`; `PARSE_ERROR` where the grammar is broken; `INVALID_ARGUMENT`
/// where a value is not allowed.
pub fn parse_text(line: &str) -> Result<Command> {
    let mut words = split_words(line)?.into_iter();
    let Some(word) = words.next() else {
        return Err(Error::new(ErrorCode::ParseError, "an empty line; HELP names the commands"));
    };
    let Some(help) = COMMANDS.iter().find(|help| help.name.eq_ignore_ascii_case(word)) else {
        return Err(unknown_command(word));
    };
    let mut arguments = Arguments { command: help.name, words };
    let command = parse_arguments(help.name, &mut arguments)?;
    arguments.end()?;
    Ok(command)
}

fn parse_arguments(name: &str, arguments: &mut Arguments<'_>) -> Result<Command> {
    Ok(match name {
        "CREATE" => {
            let name = arguments.series()?;
            let found = arguments.integer("dimension")?;
            let dimension = checked_dimension(found)?;
            let condition: Vec<&str> = arguments.words.by_ref().collect();
            let if_not_exists = match condition.as_slice() {
                [] => false,
                [a, b, c]
                    if a.eq_ignore_ascii_case("if")
                        && b.eq_ignore_ascii_case("not")
                        && c.eq_ignore_ascii_case("exists") =>
                {
                    true
                }
                other => {
                    return Err(syntax_error(
                        format_args!("'{}' is not understood", other.join(" ")),
                        "CREATE",
                    ));
                }
            };
            Command::Create { name, dimension, value_type: ValueType::F64, if_not_exists }
        }
        "INSERT" => Command::Insert {
            series: arguments.series()?,
            points: Points::one(None, arguments.values()?, arguments.labels()?),
        },
        "INSERT_AT" => {
            let series = arguments.series()?;
            let timestamp_ns = arguments.integer("timestamp_ns")?;
            let points = Points::one(Some(timestamp_ns), arguments.values()?, arguments.labels()?);
            Command::Insert { series, points }
        }
        "QUERY" => {
            let series = arguments.series()?;
            let hours = if arguments.words.len() > 0 { arguments.float("hours_back")? } else { 24.0 };
            let time = checked_hours(hours)?;
            Command::Query { series, time, labels: LabelFilter::any(), limit: None, form: PointsForm::Rows }
        }
        "QUERY_RANGE" => Command::Query {
            series: arguments.series()?,
            time: TimeSelection::Range(arguments.range()?),
            labels: LabelFilter::any(),
            limit: None,
            form: PointsForm::Rows,
        },
        "SIMILAR" => {
            let (series, query_vector) = (arguments.series()?, arguments.values()?);
            let limit = arguments.count("limit", 1)?;
            let threshold =
                if arguments.words.len() > 0 { Some(arguments.float("threshold")?) } else { None };
            let similar = Similar::new(Place::Series(series), Like::Vector(query_vector));
            Command::FindSimilar(Box::new(Similar { limit, threshold, ..similar }))
        }
        "ANOMALY" | "MOTIF" | "SEGMENT" | "CHAINS" | "SNIPPETS" => {
            let kind = match name {
                "ANOMALY" => AnalysisKind::anomaly(),
                "MOTIF" => AnalysisKind::motif(),
                "SEGMENT" => AnalysisKind::Segment { curve: false },
                "CHAINS" => AnalysisKind::Chains,
                _ => AnalysisKind::Snippets { sub_window: None },
            };
            let series = arguments.series()?;
            let (window, k) = (arguments.count("window", 3)?, arguments.count("k", 1)?);
            Command::Analyze(Box::new(Analysis::new(kind, series, Some(window), k)))
        }
        "MPDIST" => {
            let series = arguments.series()?;
            let with =
                With { series: arguments.series()?, labels: LabelFilter::any(), range: TimeRange::ALL };
            let window = arguments.count("window", 3)?;
            let analysis = Analysis::new(AnalysisKind::MpDist, series, Some(window), 1);
            Command::Analyze(Box::new(Analysis { with: Some(Box::new(with)), ..analysis }))
        }
        "WATCH" => {
            let series = arguments.series()?;
            let window = arguments.count("window", 3)?;
            let has_threshold = arguments.words.len() > 0;
            let threshold =
                if has_threshold { arguments.float("threshold")? } else { WATCH_THRESHOLD_DEFAULT };
            let labels = LabelFilter::any();
            let points_max = WATCH_POINTS_DEFAULT.max(window.saturating_mul(4));
            Command::Watch(checked_watch(WatchRequest { series, labels, window, threshold, points_max })?)
        }
        "UNWATCH" => {
            let series = arguments.series()?;
            let has_window = arguments.words.len() > 0;
            let window = if has_window { Some(arguments.count("window", 3)?) } else { None };
            Command::Unwatch { series, window }
        }
        "WATCHES" => Command::Watches,
        "SUBSCRIBE" => {
            Command::Subscribe { series: arguments.words.next().map(SeriesName::new).transpose()? }
        }
        "UNSUBSCRIBE" => Command::Unsubscribe,
        "STATS" => {
            let word = arguments.word("the series name, or all,")?;
            let series = if word == "all" { None } else { Some(SeriesName::new(word)?) };
            Command::Stats { series }
        }
        "LIST" => Command::List,
        "DELETE_RANGE" => Command::DeleteRange {
            series: arguments.series()?,
            range: arguments.range()?,
            labels: LabelFilter::any(),
        },
        "DROP" => Command::Drop { name: arguments.series()? },
        "SAVE" => Command::Save { path: unquote(arguments.word("the path")?)? },
        "LOAD" => Command::Load { path: unquote(arguments.word("the path")?)? },
        "FLUSH" => Command::Flush,
        "EXPORT" => Command::Export {
            series: arguments.series()?,
            format: ExportFormat::Csv,
            range: TimeRange::ALL,
            labels: LabelFilter::any(),
        },
        "AUTH" => Command::Auth { token: unquote(arguments.word("the token")?)? },
        "PING" => Command::Ping,
        "HELP" => Command::Help { command: arguments.words.next().map(str::to_owned) },
        "QUIT" => Command::Quit,
        other => return Err(unknown_command(other)),
    })
}

/// A watch within its limits.
pub(super) fn checked_watch(watch: WatchRequest) -> Result<WatchRequest> {
    let WatchRequest { window, threshold, points_max, .. } = watch;
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::invalid(format!("threshold is {threshold}; use 0 to 1")));
    }
    if points_max < window.saturating_mul(4) || points_max > WATCH_POINTS_MAX {
        return Err(Error::invalid(format!(
            "{points_max} points are too few or too many to look back at with a window of {window}; use {} to \
             {WATCH_POINTS_MAX} for max_points",
            window.saturating_mul(4)
        )));
    }
    Ok(watch)
}

/// A dimension within its limits.
pub(super) fn checked_dimension(found: i64) -> Result<u32> {
    match u32::try_from(found) {
        Ok(dimension) if (1..=DIMENSION_MAX).contains(&dimension) => Ok(dimension),
        _ => Err(Error::invalid(format!("dimension is {found}; use 1 to {DIMENSION_MAX}"))),
    }
}

/// Hours back that make sense.
pub(super) fn checked_hours(hours: f64) -> Result<TimeSelection> {
    if hours.is_finite() && hours >= 0.0 {
        Ok(TimeSelection::HoursBack(hours))
    } else {
        Err(Error::invalid(format!("hours_back is {hours}; use a number of 0 or more")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(line: &str) -> Command {
        parse_text(line).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    fn code(line: &str) -> ErrorCode {
        parse_text(line).expect_err(line).code()
    }

    fn name(text: &str) -> SeriesName {
        SeriesName::new(text).unwrap()
    }

    #[test]
    fn every_command_is_understood() {
        let create = |if_not_exists| Command::Create {
            name: name("ecg"),
            dimension: 3,
            value_type: ValueType::F64,
            if_not_exists,
        };
        assert_eq!(ok("create ecg 3"), create(false));
        assert_eq!(ok("CREATE  ecg\t3 If not EXISTS"), create(true));
        let labels = Labels::new([("k", "v"), ("k2", "two words, \"q\" = \\")]).unwrap();
        let points = Points::one(Some(-5), vec![1.5, -2e3], labels.clone());
        assert_eq!(
            ok(r#"INSERT_AT ecg -5 1.5,-2e3 k=v,k2="two words, \"q\" = \\""#),
            Command::Insert { series: name("ecg"), points }
        );
        let points = Points::one(None, vec![1.0], Labels::empty());
        assert_eq!(ok("INSERT ecg 1"), Command::Insert { series: name("ecg"), points });
        assert_eq!(parse_labels(&labels.to_string()).unwrap(), labels);
        assert!(
            matches!(ok("QUERY a"), Command::Query { time: TimeSelection::HoursBack(h), .. } if h == 24.0)
        );
        assert!(
            matches!(ok("QUERY a 0.5"), Command::Query { time: TimeSelection::HoursBack(h), .. } if h == 0.5)
        );
        assert!(matches!(ok("QUERY_RANGE a -9 9"), Command::Query { time: TimeSelection::Range(_), .. }));
        assert!(
            matches!(ok("SIMILAR a 1,2 5"), Command::FindSimilar(of) if of.limit == 5 && of.threshold.is_none())
        );
        assert!(matches!(ok("SIMILAR a 1,2 5 0.9"), Command::FindSimilar(of) if of.threshold == Some(0.9)));
        let analysis =
            |kind, window, k| Command::Analyze(Box::new(Analysis::new(kind, name("a"), Some(window), k)));
        assert_eq!(ok("ANOMALY a 336 6"), analysis(AnalysisKind::anomaly(), 336, 6));
        assert_eq!(ok("MOTIF a 3 1"), analysis(AnalysisKind::motif(), 3, 1));
        assert_eq!(ok("SEGMENT a 9 2"), analysis(AnalysisKind::Segment { curve: false }, 9, 2));
        assert_eq!(ok("CHAINS a 9 2"), analysis(AnalysisKind::Chains, 9, 2));
        assert_eq!(ok("SNIPPETS a 9 2"), analysis(AnalysisKind::Snippets { sub_window: None }, 9, 2));
        assert!(matches!(
            ok("MPDIST a b 9"),
            Command::Analyze(of) if of.kind == AnalysisKind::MpDist && of.with.as_ref().unwrap().series == name("b")
        ));
        assert_eq!(ok("STATS all"), Command::Stats { series: None });
        assert_eq!(ok("STATS a"), Command::Stats { series: Some(name("a")) });
        assert!(matches!(ok("DELETE_RANGE a 1 2"), Command::DeleteRange { .. }));
        assert_eq!(ok("DROP a"), Command::Drop { name: name("a") });
        assert_eq!(ok("SAVE \"a b.snap\""), Command::Save { path: "a b.snap".into() });
        assert_eq!(ok("LOAD x"), Command::Load { path: "x".into() });
        assert!(matches!(ok("EXPORT a"), Command::Export { format: ExportFormat::Csv, .. }));
        assert_eq!(ok("AUTH s3cret"), Command::Auth { token: "s3cret".into() });
        assert_eq!(ok("help query"), Command::Help { command: Some("query".into()) });
        let plain = [
            ("LIST", Command::List),
            ("FLUSH", Command::Flush),
            ("PING", Command::Ping),
            ("quit", Command::Quit),
        ];
        for (line, command) in plain {
            assert_eq!(ok(line), command);
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_code() {
        for line in [
            "CREATE",
            "CREATE a",
            "CREATE a x",
            "CREATE a 1 IF",
            "CREATE a 1 2",
            "INSERT a",
            "INSERT a x",
            "INSERT a 1,,2",
            "INSERT a 1 k",
            "INSERT a 1 k=\"v",
            "INSERT a 1 k=v,",
            "INSERT a 1 k=v x",
            "QUERY a x",
            "QUERY_RANGE a 1",
            "SIMILAR a 1",
            "ANOMALY a 5",
            "PING x",
            "STATS",
            "SAVE",
            "SAVE a b",
            "QUERY_RANGE a 1.5 2",
            "INSERT a 1 k=a\"b",
        ] {
            assert_eq!(code(line), ErrorCode::ParseError, "{line}");
        }
        for line in [
            "CREATE a 0",
            "CREATE a 65537",
            "CREATE a -1",
            "CREATE all 1",
            "CREATE a,b 1",
            "INSERT a nan",
            "INSERT a inf",
            "INSERT a 1e999",
            "INSERT_AT a 9223372036854775808 1",
            "QUERY a -1",
            "QUERY a nan",
            "QUERY_RANGE a 2 1",
            "SIMILAR a 1 0",
            "ANOMALY a 2 1",
            "ANOMALY a 3 0",
            "MOTIF a -3 1",
            "INSERT a 1 k=v,k=w",
            "INSERT a 1 =v",
        ] {
            assert_eq!(code(line), ErrorCode::InvalidArgument, "{line}");
        }
        for line in ["FOO", "INSERTX a 1", "\"PING\""] {
            assert_eq!(code(line), ErrorCode::UnknownCommand, "{line}");
        }
        let message = parse_text("QUERY_RANGE a x 2").unwrap_err();
        assert!(message.message().contains("'x'") && message.message().contains("QUERY_RANGE <name>"));
    }
}
