//! Answers of analyses that are kept, for as long as nothing they were made of changes.
//!
//! An answer is kept under everything that was asked and the stamp of the series, taken
//! before its points were read: should they have changed in between, the stamp has too,
//! and nobody asks for that one again. What was not finished in time is not kept.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::base::Result;
use crate::engine::{Engine, SeriesStamp};
use crate::protocol::{Analysis, AnalysisSummary, Command, Findings, Reply};

/// What an answer takes beside its rows.
const ANSWER_BYTES: usize = 512;

/// A bounded number of answers; the one that was not asked for longest goes first.
pub(super) struct Answers {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<Analysis, Answer>,
    bytes: usize,
    /// Counts what is asked.
    clock: u64,
}

struct Answer {
    stamps: Stamps,
    summary: AnalysisSummary,
    findings: Findings,
    bytes: usize,
    asked: u64,
}

/// Of the series, and of the one beside which it is analysed.
type Stamps = (SeriesStamp, Option<SeriesStamp>);

/// Something that may be known already.
pub(super) struct Question {
    analysis: Analysis,
    stamps: Stamps,
    started: Instant,
}

impl Question {
    /// What a command asks about the content of now, if it is an analysis.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`.
    pub fn of(engine: &Engine, command: &Command) -> Result<Option<Self>> {
        let Command::Analyze(analysis) = command else { return Ok(None) };
        let started = Instant::now();
        let other = analysis.with.as_ref().map(|with| engine.stamp(&with.series)).transpose()?;
        let stamps = (engine.stamp(&analysis.series)?, other);
        // An exact answer is that for any time limit.
        let analysis = Analysis { timeout_ms: None, ..Analysis::clone(analysis) };
        Ok(Some(Self { analysis, stamps, started }))
    }
}

impl Answers {
    /// Keeps answers of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// The answer, if it is known.
    pub fn find(&self, question: &Question) -> Option<Reply> {
        let mut kept = self.kept.lock();
        let kept = &mut *kept;
        let answer = kept.answers.get_mut(&question.analysis)?;
        if answer.stamps != question.stamps {
            // It may be newer than the question; else it goes with the next one kept.
            return None;
        }
        kept.clock += 1;
        answer.asked = kept.clock;
        let summary =
            AnalysisSummary { cached: true, elapsed: question.started.elapsed(), ..answer.summary.clone() };
        Some(Reply::Analysis { summary, findings: answer.findings.clone() })
    }

    /// Keeps an exact answer, if there is room for it.
    pub fn keep(&self, question: Question, reply: &Reply) {
        let Reply::Analysis { summary, findings } = reply else { return };
        let of = &question.analysis;
        let with_bytes = of
            .with
            .as_ref()
            .map_or(0, |with| with.series.as_str().len() + with.labels.pairs().memory_bytes());
        let bytes = ANSWER_BYTES
            + of.series.as_str().len()
            + of.labels.pairs().memory_bytes()
            + with_bytes
            + findings.memory_bytes();
        // One answer shall not drive out all others.
        if !summary.exact || bytes > self.bytes_max / 4 {
            return;
        }
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let asked = kept.clock;
        let (summary, findings) = (summary.clone(), findings.clone());
        let answer = Answer { stamps: question.stamps, summary, findings, bytes, asked };
        kept.bytes += bytes;
        if let Some(before) = kept.answers.insert(question.analysis, answer) {
            kept.bytes -= before.bytes;
        }
        while kept.bytes > self.bytes_max {
            let oldest = kept.answers.iter().min_by_key(|(_, answer)| answer.asked);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(gone) = kept.answers.remove(&key) {
                kept.bytes -= gone.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Deadline, LabelFilter, Labels, ManualClock, Points, SeriesName, TimeRange, ValueType};
    use crate::engine::{Options, Write};
    use crate::protocol::{AnalysisKind, AnomalyOptions, MotifRow, With};
    use crate::vfs::SimDisk;

    fn series() -> SeriesName {
        SeriesName::new("s").unwrap()
    }

    fn engine() -> Engine {
        let options = Options { shards: 1, background: false, ..Options::new("/data") };
        let engine =
            Engine::open_with(Arc::new(SimDisk::new()), Arc::new(ManualClock::new(5)), options).unwrap();
        create(&engine);
        engine
    }

    fn create(engine: &Engine) {
        create_named(engine, series());
    }

    fn create_named(engine: &Engine, name: SeriesName) {
        let (dimension, value_type) = (1, ValueType::F64);
        engine.write(Write::Create { name, dimension, value_type, if_not_exists: false }).unwrap();
    }

    fn insert(engine: &Engine, timestamp_ns: i64) {
        insert_into(engine, series(), timestamp_ns);
    }

    fn insert_into(engine: &Engine, series: SeriesName, timestamp_ns: i64) {
        let points = Points::one(Some(timestamp_ns), vec![1.0], Labels::empty());
        engine.write(Write::Insert { series, points }).unwrap();
    }

    fn question(engine: &Engine, k: usize) -> Question {
        let command =
            Command::Analyze(Box::new(Analysis::new(AnalysisKind::anomaly(), series(), Some(5), k)));
        Question::of(engine, &command).unwrap().unwrap()
    }

    fn reply(n: usize, exact: bool) -> Reply {
        let summary = AnalysisSummary { n, exact, ..AnalysisSummary::default() };
        Reply::Analysis { summary, findings: Findings::Anomalies(Vec::new()) }
    }

    fn known(answers: &Answers, question: &Question) -> Option<usize> {
        answers.find(question).map(|reply| match reply {
            Reply::Analysis { summary, .. } if summary.cached => summary.n,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn whatever_changes_the_series_ends_an_answer() {
        let (engine, answers) = (engine(), Answers::new(1 << 20));
        let deadline = Deadline::none();
        insert(&engine, 1);
        engine.save("a", &deadline).unwrap();
        let changes: [(&str, &dyn Fn()); 6] = [
            ("a write", &|| insert(&engine, 2)),
            ("the same write again", &|| insert(&engine, 2)),
            ("a deletion", &|| {
                let (range, labels) = (TimeRange::ALL, LabelFilter::any());
                engine.write(Write::DeleteRange { series: series(), range, labels }).unwrap();
            }),
            ("a series of the same name", &|| {
                engine.write(Write::Drop { name: series() }).unwrap();
                create(&engine);
            }),
            ("a load", &|| {
                engine.load("a", &deadline).unwrap();
            }),
            ("the same load again", &|| {
                engine.load("a", &deadline).unwrap();
            }),
        ];
        for (n, (what, change)) in changes.into_iter().enumerate() {
            answers.keep(question(&engine, 3), &reply(n, true));
            assert_eq!(known(&answers, &question(&engine, 3)), Some(n), "before {what}");
            let early = question(&engine, 3);
            change();
            assert_eq!(known(&answers, &question(&engine, 3)), None, "{what}");
            // One that began before and ends now is not for those who ask now.
            answers.keep(early, &reply(n, true));
            assert_eq!(known(&answers, &question(&engine, 3)), None, "{what}");
        }
        answers.keep(question(&engine, 3), &reply(9, true));
        engine.flush().unwrap();
        assert_eq!(known(&answers, &question(&engine, 3)), Some(9), "a flush changes no point");
        engine.write(Write::Drop { name: series() }).unwrap();
        let analysis = Analysis::new(AnalysisKind::anomaly(), series(), Some(5), 3);
        let gone = Question::of(&engine, &Command::Analyze(Box::new(analysis)));
        assert!(gone.is_err());
    }

    #[test]
    fn what_was_asked_otherwise_or_not_finished_is_not_known() {
        let (engine, answers) = (engine(), Answers::new(1 << 20));
        answers.keep(question(&engine, 3), &reply(1, false));
        assert_eq!(known(&answers, &question(&engine, 3)), None);
        answers.keep(question(&engine, 3), &reply(1, true));
        let analysis = Analysis::new(AnalysisKind::anomaly(), series(), Some(5), 3);
        let kind = |options| AnalysisKind::Anomaly(options);
        let default = AnomalyOptions::default();
        let ask = |command| known(&answers, &Question::of(&engine, &command).unwrap().unwrap());
        assert_eq!(
            ask(Command::Analyze(Box::new(Analysis { timeout_ms: Some(9), ..analysis.clone() }))),
            Some(1)
        );
        for other in [
            Analysis { window: Some(6), ..analysis.clone() },
            Analysis { window: None, ..analysis.clone() },
            Analysis { k: 4, ..analysis.clone() },
            Analysis { kind: AnalysisKind::motif(), ..analysis.clone() },
            Analysis {
                kind: kind(AnomalyOptions { lengths: Some((5, 9)), ..default.clone() }),
                ..analysis.clone()
            },
            Analysis { kind: kind(AnomalyOptions { neighbor: 2, ..default.clone() }), ..analysis.clone() },
            Analysis { kind: kind(AnomalyOptions { neighbors: 2, ..default.clone() }), ..analysis.clone() },
            Analysis { labels: LabelFilter::new(Labels::new([("k", "v")]).unwrap()), ..analysis.clone() },
            Analysis { range: TimeRange { start_ns: 0, end_ns: 9 }, ..analysis.clone() },
            Analysis { normalize: false, ..analysis.clone() },
            Analysis { kind: kind(AnomalyOptions { left: true, ..default }), ..analysis.clone() },
            Analysis { max_gap_ns: Some(7), ..analysis.clone() },
            Analysis { join_labels: true, ..analysis.clone() },
        ] {
            assert_eq!(ask(Command::Analyze(Box::new(other.clone()))), None, "{other:?}");
        }
    }

    #[test]
    fn a_change_of_either_series_ends_an_answer() {
        let (engine, answers) = (engine(), Answers::new(1 << 20));
        let other = SeriesName::new("other").unwrap();
        create_named(&engine, other.clone());
        let with = With { series: other.clone(), labels: LabelFilter::any(), range: TimeRange::ALL };
        let analysis = Analysis {
            with: Some(Box::new(with)),
            ..Analysis::new(AnalysisKind::motif(), series(), Some(5), 3)
        };
        let ask = || Question::of(&engine, &Command::Analyze(Box::new(analysis.clone()))).unwrap().unwrap();
        for change in [series(), other] {
            answers.keep(ask(), &reply(1, true));
            assert_eq!(known(&answers, &ask()), Some(1));
            insert_into(&engine, change.clone(), 7);
            assert_eq!(known(&answers, &ask()), None, "{change}");
        }
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_answer_goes_first() {
        let engine = engine();
        let one = ANSWER_BYTES + 1 + Labels::empty().memory_bytes();
        let answers = Answers::new(4 * one);
        for k in 1..=4 {
            answers.keep(question(&engine, k), &reply(k, true));
        }
        assert_eq!(known(&answers, &question(&engine, 1)), Some(1));
        answers.keep(question(&engine, 5), &reply(5, true));
        assert_eq!(known(&answers, &question(&engine, 2)), None, "asked for longest ago");
        answers.keep(question(&engine, 5), &reply(6, true));
        for (k, n) in [(1, 1), (3, 3), (4, 4), (5, 6)] {
            assert_eq!(known(&answers, &question(&engine, k)), Some(n));
        }
        assert_eq!(answers.kept.lock().bytes, 4 * one);
        let row = MotifRow {
            distance: 1.0,
            normalized_score: None,
            flags: crate::protocol::WindowFlags::default(),
            labels: None,
            neighbor_labels: None,
            a: crate::protocol::WindowRef { timestamp_ns: 0, end_timestamp_ns: 1, index: 0 },
            b: crate::protocol::WindowRef { timestamp_ns: 0, end_timestamp_ns: 1, index: 0 },
            radius: None,
            occurrences: Vec::new(),
            dimensions: Vec::new(),
        };
        let summary = AnalysisSummary { exact: true, ..AnalysisSummary::default() };
        let great = Reply::Analysis { summary, findings: Findings::Motifs(vec![row; 100]) };
        answers.keep(question(&engine, 9), &great);
        assert!(answers.find(&question(&engine, 9)).is_none(), "more than its share");
        assert_eq!(answers.kept.lock().answers.len(), 4);
    }
}
