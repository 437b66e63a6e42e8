//! Motifs with all that is like them.

use super::*;

fn sets(selection: &Selection<'_>, k: usize, radius: Radius) -> Vec<Motif> {
    let computation = Computation::self_join(selection).unwrap().without_flat();
    let profile = computation.run(&Deadline::none(), &Progress::default()).profile;
    motifs_of(&computation, &profile, k, Some(radius), &Deadline::none()).0
}

#[test]
fn motif_sets_are_the_oracles() {
    for (name, values) in hostile() {
        if ["steps", "all flat", "flat stretches", "huge", "minute"].contains(&name) {
            continue; // ties that rounding decides; what the oracle can't square
        }
        for window in [12, 20] {
            let selection = Selection { values: &values, dimension: 1, window, normalize: true };
            let (found, expected) =
                (sets(&selection, 3, Radius::TwiceThePair), oracle::motif_sets(&selection, 3));
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(&expected) {
                close(name, found.distance, expected.distance, window);
                let (pair, expected_pair) = ((found.a, found.b), (expected.a, expected.b));
                if name == "dying away" && pair != expected_pair {
                    // Its windows just before a start are one spike: those at no distance but rounding
                    // count as equal, and the first is named.
                    assert!(found.distance < 1e-12 && expected.distance < 1e-12 && pair < expected_pair);
                    break;
                }
                assert_eq!(pair, expected_pair, "{name}");
                close(name, found.radius.unwrap(), 2.0 * expected.distance, window);
                let indexes = |motif: &Motif| motif.occurrences.iter().map(|at| at.index).collect::<Vec<_>>();
                assert_eq!(indexes(found), indexes(expected), "{name}");
                for (found, expected) in found.occurrences.iter().zip(&expected.occurrences) {
                    close(name, found.distance, expected.distance, window);
                }
            }
        }
    }
}

#[test]
fn every_beat_is_an_occurrence_and_no_later_motif_is_one_of_them() {
    let beat = |at: usize| [0.0, 1.0, 4.0, 9.0, 3.0, -2.0, -1.0, 0.5, 2.0, 1.0][at];
    let mut values = walk(600, 8);
    let places: Vec<usize> = (0..12).map(|at| 20 + 47 * at).collect();
    for &place in &places {
        for at in 0..10 {
            values[place + at] = 5.0 * beat(at) + place as f64;
        }
    }
    let selection = Selection { values: &values, dimension: 1, window: 10, normalize: true };
    let found = sets(&selection, 4, Radius::TwiceThePair);
    // Equal but for rounding: twice next to nothing is enough to find them all.
    let mut indexes: Vec<usize> = found[0].occurrences.iter().map(|near| near.index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, places);
    assert!(found[1].a != found[0].a);
    let all: Vec<usize> =
        found.iter().flat_map(|motif| motif.occurrences.iter().map(|near| near.index)).collect();
    for (at, index) in all.iter().enumerate() {
        let shares = |other: &&usize| other.abs_diff(*index) < 10;
        let sharing = all[..at].iter().find(shares);
        // The two of a pair may share points, as in any motif.
        let is_pair = |motif: &Motif| motif.b == *index && Some(&motif.a) == sharing;
        assert!(sharing.is_none() || found.iter().any(is_pair), "{index} is taken twice");
    }
    let none = sets(&selection, 1, Radius::Distance(0.0));
    assert!(none[0].occurrences.len() >= 2, "the pair is there whatever the radius");
    let plain = Selection { normalize: false, ..selection };
    let of_values = sets(&plain, 1, Radius::Distance(1e-3));
    assert!(of_values[0].occurrences.len() < 12, "levels differ");
}
