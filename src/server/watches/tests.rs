//! What is kept, told and ended, on a simulated disk.

use super::follower::normalized;
use super::*;
use crate::base::{LabelFilter, Labels, ManualClock, Points, Rng, Rows, TimeRange, ValueType};
use crate::engine::{Options, Query, Write};
use crate::mp::{Selection, oracle};
use crate::vfs::SimDisk;

fn name(name: &str) -> SeriesName {
    SeriesName::new(name).unwrap()
}

struct Scene {
    disk: SimDisk,
    engine: Arc<OnceLock<Engine>>,
    follower: Follower,
    alerts: broadcast::Receiver<Arc<Alert>>,
    watches: Watches,
}

fn open_on(disk: &SimDisk) -> Engine {
    let options = Options { shards: 1, background: false, buffer_points: 40, ..Options::new("/data") };
    Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options).unwrap()
}

impl Scene {
    fn on(disk: SimDisk) -> Self {
        let engine = Arc::new(OnceLock::from(open_on(&disk)));
        let watches = Watches::new(1 << 30);
        let workers = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
        let follower = Follower::new(engine.clone(), workers, watches.shared.clone());
        Self { disk, engine, follower, alerts: watches.subscribe(), watches }
    }

    fn engine(&self) -> Engine {
        self.engine.get().unwrap().clone()
    }

    fn create(&self, series: &str, dimension: u32) {
        let (name, value_type) = (name(series), ValueType::F64);
        self.engine().write(Write::Create { name, dimension, value_type, if_not_exists: false }).unwrap();
    }

    fn insert(&self, series: &str, points: &[(i64, f64)], labels: &Labels) {
        for (time, value) in points {
            let points = Points::one(Some(*time), vec![*value], labels.clone());
            self.engine().write(Write::Insert { series: name(series), points }).unwrap();
        }
    }

    fn delete(&self, series: &str, start_ns: i64, end_ns: i64) {
        let (range, labels) = (TimeRange { start_ns, end_ns }, LabelFilter::any());
        self.engine().write(Write::DeleteRange { series: name(series), range, labels }).unwrap();
    }

    fn watch(
        &self,
        series: &str,
        window: usize,
        points_max: usize,
        labels: &LabelFilter,
    ) -> Result<WatchRequest> {
        let (series, labels) = (name(series), labels.clone());
        let request = WatchRequest { series, labels, window, threshold: 0.4, points_max };
        self.watches.watch(&self.engine(), request)
    }

    fn look(&mut self) {
        let engine = self.engine();
        self.follower.look(&engine);
    }

    fn all(&self, series: &str, labels: &LabelFilter) -> Rows {
        let (series, labels) = (name(series), labels.clone());
        let query = Query { series, range: TimeRange::ALL, labels, limit: usize::MAX };
        self.engine().query(&query, &Deadline::none()).unwrap().rows
    }

    /// What is kept is the left profile of the stored points of its time.
    fn check(&mut self, what: &str) {
        for at in 0..self.follower.kept.len() {
            let watch = self.follower.kept[at].watch.clone();
            let all = self.all(watch.series.as_str(), &watch.labels);
            let kept = &mut self.follower.kept[at];
            let first = all.timestamps_ns.partition_point(|&time| time < kept.begins_ns);
            let first = first.max(all.len().saturating_sub(watch.points_max));
            assert_eq!(kept.times, all.timestamps_ns[first..], "{what}");
            assert!(kept.times.len() <= watch.points_max, "{what}");
            let selection = Selection {
                values: &all.values[first..],
                dimension: 1,
                window: watch.window,
                normalize: true,
            };
            let zone = watch.window.div_ceil(4);
            let expected = oracle::nearest(&selection, &selection, |i, j| j + zone < i);
            let found = kept.upkeep.profile(&Deadline::none()).unwrap();
            assert_eq!(found.distances.len(), expected.distances.len(), "{what}");
            for (found, expected) in found.distances.iter().zip(&expected.distances) {
                assert!(found == expected || (found - expected).abs() < 1e-9, "{what}: {found} {expected}");
            }
            let newest = expected.distances.last().filter(|distance| distance.is_finite());
            let score = newest.map(|distance| normalized(*distance, watch.window));
            assert!((kept.score.unwrap_or(2.0) - score.unwrap_or(2.0)).abs() < 1e-9, "{what}");
            let rows = self.watches.rows(&self.engine.get().unwrap().clone());
            let row = rows.iter().find(|row| watch_of(row.watch.clone()) == watch).unwrap();
            let kept = &self.follower.kept[at];
            assert_eq!((row.points, row.score, row.behind_ms), (kept.times.len(), kept.score, 0), "{what}");
        }
    }
}

#[test]
fn what_comes_into_a_series_that_was_made_anew_is_new_however_soon() {
    for looks_between in [false, true] {
        let mut scene = Scene::on(SimDisk::new());
        scene.create("s", 1);
        scene.watch("s", 12, 200, &LabelFilter::any()).unwrap();
        scene.look();
        let mut rng = Rng::new(3);
        let points: Vec<(i64, f64)> = (0..150).map(|time| (time, rng.unit_f64())).collect();
        let mut lives = [0, 0];
        for life in &mut lives {
            scene.insert("s", &points, &Labels::empty());
            scene.look();
            while scene.alerts.try_recv().is_ok() {
                *life += 1;
            }
            scene.engine().write(Write::Drop { name: name("s") }).unwrap();
            scene.look();
            scene.create("s", 1);
            if looks_between {
                scene.look();
            }
        }
        assert!(lives[0] > 3 && lives[0] == lives[1], "{lives:?}");
    }
}

#[test]
fn what_is_kept_is_the_batch_profile_whatever_happens() {
    for seed in 0..12 {
        let mut rng = Rng::new(seed);
        let mut scene = Scene::on(SimDisk::new());
        let labels = Labels::new([("k", "v")]).unwrap();
        let (any, some) = (LabelFilter::any(), LabelFilter::new(labels.clone()));
        scene.create("s", 1);
        let points_max = 60 + 40 * (seed as usize % 3);
        scene.watch("s", 8, points_max, &any).unwrap();
        scene.watch("s", 5, 1000, &some).unwrap();
        let mut time = 0;
        for step in 0..60 {
            match rng.below(9) {
                0..5 => {
                    for _ in 0..=rng.below(12) {
                        time += 1 + rng.below(3) as i64;
                        let of = if rng.below(2) == 0 { labels.clone() } else { Labels::empty() };
                        scene.insert("s", &[(time, rng.unit_f64())], &of);
                    }
                }
                5 => {
                    let late = rng.below(time as u64 + 1) as i64;
                    scene.insert("s", &[(late, 3.0 * rng.unit_f64())], &labels);
                }
                6 => {
                    let start = rng.below(time as u64 + 1) as i64;
                    scene.delete("s", start, start + rng.below(20) as i64);
                }
                7 if rng.below(4) == 0 => {
                    scene.follower.kept.clear();
                    scene.engine().close().unwrap();
                    scene = Scene::on(scene.disk);
                }
                _ => drop(scene.engine().flush().unwrap()),
            }
            if rng.below(3) > 0 {
                scene.look();
                scene.check(&format!("seed {seed}, step {step}"));
            }
        }
        assert_eq!(scene.follower.kept.len(), 2, "seed {seed}");
    }
}

#[test]
fn each_new_window_unlike_all_before_it_is_one_alert() {
    let mut scene = Scene::on(SimDisk::new());
    scene.create("s", 1);
    scene.watch("s", 10, 400, &LabelFilter::any()).unwrap();
    let wave = |at: i64| (at as f64 * 0.7).sin();
    let point = |at: i64| (at * 10, if (300..305).contains(&at) { 5.0 } else { wave(at) });
    let points: Vec<(i64, f64)> = (0..350).map(point).collect();
    scene.look();
    scene.insert("s", &points[..250], &Labels::empty());
    scene.look();
    // What is late, and what is written again, changes no window that was new.
    scene.insert("s", &[(5, 9.0), (1000, 9.0)], &Labels::empty());
    scene.look();
    for part in points[250..].chunks(7) {
        scene.insert("s", part, &Labels::empty());
        scene.look();
    }
    scene.check("alerts");
    let mut found = Vec::new();
    while let Ok(alert) = scene.alerts.try_recv() {
        found.push(Alert::clone(&alert));
    }
    let of_the_step: Vec<&Alert> = found.iter().filter(|alert| alert.end_timestamp_ns >= 2500).collect();
    assert!(!of_the_step.is_empty() && of_the_step.len() <= 14, "{found:?}");
    for alert in &of_the_step {
        assert!((3000..3140).contains(&alert.end_timestamp_ns), "{alert:?}");
        assert!(alert.normalized_score >= 0.4 && alert.timestamp_ns == alert.end_timestamp_ns - 90);
        assert!(alert.neighbor_timestamp_ns < alert.timestamp_ns);
    }
    assert_eq!(scene.watches.rows(&scene.engine())[0].alerts, found.len() as u64);
}

#[test]
fn what_comes_after_the_watch_is_new_however_late_the_thread_looks() {
    let mut scene = Scene::on(SimDisk::new());
    scene.create("s", 1);
    let value = |at: i64| match at {
        300..305 => 5.0,
        500..510 => {
            if at % 2 == 0 {
                9.0
            } else {
                -9.0
            }
        }
        _ => (at as f64 * 0.7).sin(),
    };
    let points: Vec<(i64, f64)> = (0..600).map(|at| (at, value(at))).collect();
    scene.insert("s", &points[..200], &Labels::empty());
    let ends = |scene: &mut Scene| {
        scene.look();
        let found = std::iter::from_fn(|| scene.alerts.try_recv().ok());
        found.map(|alert| alert.end_timestamp_ns).collect::<Vec<i64>>()
    };
    scene.watch("s", 10, 400, &LabelFilter::any()).unwrap();
    scene.insert("s", &points[200..400], &Labels::empty());
    let found = ends(&mut scene);
    assert!(!found.is_empty() && found.iter().all(|end| (300..314).contains(end)), "{found:?}");
    // Neither is what was there when a server starts, but what comes then is.
    scene.follower.kept.clear();
    scene.engine().close().unwrap();
    let mut scene = Scene::on(scene.disk);
    scene.watches.opened(&scene.engine());
    scene.insert("s", &points[400..], &Labels::empty());
    let found = ends(&mut scene);
    assert!(!found.is_empty() && found.iter().all(|end| (500..519).contains(end)), "{found:?}");
}

#[test]
fn a_stop_and_an_unwatch_end_what_is_under_way() {
    let mut scene = Scene::on(SimDisk::new());
    scene.create("s", 1);
    let points: Vec<(i64, f64)> = (0..300).map(|at| (at, (at as f64 * 0.7).sin())).collect();
    scene.insert("s", &points, &Labels::empty());
    scene.watch("s", 10, 400, &LabelFilter::any()).unwrap();
    scene.watch("s", 20, 400, &LabelFilter::any()).unwrap();
    let engine = scene.engine();
    scene.follower.take_over(engine.watches());
    let round = Deadline::none();
    *scene.watches.shared.round.lock() = round.clone();
    scene.watches.unwatch(&engine, &name("s"), Some(20)).unwrap();
    scene.follower.look_at(&engine, &name("s"), 0..2, &round);
    assert!(scene.follower.kept.iter().all(|kept| !kept.is_whole && kept.seen_ns == Some(299)));
    scene.look();
    scene.check("goes on");
    assert_eq!((scene.follower.kept.len(), scene.follower.kept[0].times.len()), (1, 300));
    scene.follower.kept.clear();
    scene.watches.stop();
    scene.look();
    assert!(scene.follower.kept.is_empty());
}

#[test]
fn what_can_not_be_watched_says_why() {
    let mut scene = Scene::on(SimDisk::new());
    let any = LabelFilter::any();
    scene.create("pair", 2);
    scene.create("s", 1);
    let code = |result: Result<WatchRequest>| result.unwrap_err().code();
    assert_eq!(code(scene.watch("nowhere", 5, 100, &any)), ErrorCode::SeriesNotFound);
    assert_eq!(code(scene.watch("pair", 5, 100, &any)), ErrorCode::DimensionMismatch);
    scene.watches.memory_max = 1_000_000;
    assert_eq!(code(scene.watch("s", 5, 10_000, &any)), ErrorCode::LimitExceeded);
    scene.watch("s", 5, 100, &any).unwrap();
    scene.watch("s", 5, 200, &any).unwrap();
    scene.watch("s", 6, 100, &any).unwrap();
    let engine = scene.engine();
    assert_eq!(scene.watches.rows(&engine).len(), 2, "the first was replaced");
    scene.insert("s", &[(1, 1.0)], &Labels::empty());
    scene.look();
    engine.write(Write::Drop { name: name("s") }).unwrap();
    scene.look();
    let problem = |scene: &Scene| scene.watches.rows(&engine)[0].problem.clone().unwrap_or_default();
    assert!(problem(&scene).starts_with("SERIES_NOT_FOUND"), "{}", problem(&scene));
    scene.create("s", 3);
    scene.look();
    assert!(problem(&scene).starts_with("DIMENSION_MISMATCH"), "{}", problem(&scene));
    engine.write(Write::Drop { name: name("s") }).unwrap();
    scene.create("s", 1);
    scene.insert("s", &[(7, 1.0)], &Labels::empty());
    scene.look();
    scene.check("made again");
    assert_eq!(problem(&scene), "");
    assert_eq!(scene.watches.unwatch(&engine, &name("s"), Some(6)), Ok(1));
    assert_eq!(scene.watches.unwatch(&engine, &name("s"), None), Ok(1));
    assert_eq!(
        scene.watches.unwatch(&engine, &name("s"), None).unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
    scene.look();
    assert!(scene.follower.kept.is_empty());
}
