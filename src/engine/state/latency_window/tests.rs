//! The window against a sorted list, and what its rows and its list are given back for.

use std::ops::Range;

use crate::engine::random::Random;
use crate::engine::state::bucket_row_pool::{BucketRowPool, EMPTY_ROW};
use crate::engine::state::latency_window::list::LISTED_MAX;
use crate::engine::state::latency_window::{LatencyPercentiles, LatencyWindow};
use crate::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, UnixNanos};

const SLOT: i64 = 5 * NANOS_PER_SECOND;

#[test]
fn agrees_with_a_sorted_list() {
    // Always counted; on the list and counted in turn; on the list alone but for late samples.
    for mean_gap in [10_000_000, 500_000_000, 2_000_000_000] {
        for late_one_in in [2, 500] {
            check_against_a_sorted_list(mean_gap, late_one_in);
        }
    }
}

fn check_against_a_sorted_list(mean_gap: u64, late_one_in: u64) {
    let mut generator = Random::new(7);
    let mut random = |end: u64| generator.below(end);
    let mut pool = BucketRowPool::new(2_000).expect("there is memory");
    let mut window = LatencyWindow::new().expect("there is memory");
    let mut all: Vec<(i64, i64)> = Vec::new();
    let mut watermark = 1_700_000_000_000_000_000i64;
    for _ in 0..10_000 {
        let pause = if random(2_000) == 0 { random(200) as i64 * NANOS_PER_SECOND } else { 0 };
        watermark += random(2 * mean_gap) as i64 + pause;
        let lateness = if random(late_one_in) == 0 { random(60_000_000_000) as i64 } else { 0 };
        let t = watermark - lateness;
        let latency = (random(1_000_000) as i64 - 1_000) << random(14);
        window.push(&mut pool, UnixNanos(t), latency, SLOT);
        all.push((t, latency));
        if random(50) == 0 {
            let now = watermark + random(3) as i64 * random(60_000_000_000) as i64;
            let oldest = (now / SLOT - 11) * SLOT;
            let kept_from = (watermark / SLOT - 11) * SLOT;
            let mut inside: Vec<i64> =
                all.iter().filter(|(t, _)| *t >= oldest.max(kept_from)).map(|(_, latency)| *latency).collect();
            inside.sort();
            let found = window.percentiles(&mut pool, UnixNanos(now), SLOT);
            for (percent, found) in [(50, found.p50_ms), (95, found.p95_ms)] {
                let expected =
                    (inside.len() * percent).div_ceil(100).checked_sub(1).map(|rank| inside[rank] as f64 / 1e6);
                match (expected, found) {
                    (None, None) => {}
                    (Some(e), Some(f)) => assert!((e - f).abs() <= 0.0101 * e.abs() + 1e-12, "{e} {f}"),
                    other => panic!("{other:?}"),
                }
            }
            all.retain(|(t, _)| *t >= kept_from);
        }
    }
    window.count_listed(&mut pool);
    window.advance_to(&mut pool, i64::MAX / SLOT);
    assert_eq!(pool.free.len(), pool.rows.len(), "every row is given back");
    assert!(pool.rows.iter().all(|row| row.total == 0 && row.slots == EMPTY_ROW.slots), "and empty");
}

/// One sample a second from `seconds` on; those of `late` seconds belong to the slot before.
fn push_seconds(window: &mut LatencyWindow, pool: &mut BucketRowPool, seconds: Range<i64>, late: impl Fn(i64) -> bool) {
    for second in seconds {
        let t = second * NANOS_PER_SECOND;
        window.push(
            pool,
            UnixNanos(if late(second) { t - SLOT } else { t }),
            NANOS_PER_MILLI * (second % 60 + 1),
            SLOT,
        );
        let found = window.percentiles(pool, UnixNanos(t), SLOT);
        assert!(found.p50_ms.is_some() && !window.is_truncated(UnixNanos(t), SLOT));
    }
}

#[test]
fn a_busy_minute_and_late_samples_take_rows_only_while_they_have_to() {
    let mut pool = BucketRowPool::new(1_000).expect("there is memory");
    let mut window = LatencyWindow::new().expect("there is memory");
    push_seconds(&mut window, &mut pool, 0..1_000, |second| second % 7 == 0);
    assert!(pool.rows.is_empty(), "late samples have their place on the list");
    for index in 0..1_000 {
        let t = UnixNanos(1_000 * NANOS_PER_SECOND + index);
        window.push(&mut pool, t, 1_000 * index, SLOT);
    }
    assert!(pool.rows.len() > 10 && pool.free.is_empty());
    push_seconds(&mut window, &mut pool, 1_001..1_060, |_| false);
    assert!(pool.free.len() < pool.rows.len(), "the burst is still in the window");
    push_seconds(&mut window, &mut pool, 1_060..1_070, |second| second % 2 == 0);
    assert_eq!(pool.free.len(), pool.rows.len(), "what is left fits on the list");
    assert!(pool.rows.iter().all(|row| row.total == 0 && row.slots == EMPTY_ROW.slots));
    let found = window.percentiles(&mut pool, UnixNanos(1_070 * NANOS_PER_SECOND), SLOT);
    assert!((found.p50_ms.unwrap() - 30.0).abs() < 3.0, "{found:?}");
}

#[test]
fn a_steady_symbol_of_up_to_two_events_a_second_comes_back_to_its_list() {
    for gap_ms in [500, 600, 750, 900, 1_000, 3_000] {
        let mut pool = BucketRowPool::new(1_000).expect("there is memory");
        let mut window = LatencyWindow::new().expect("there is memory");
        for index in 0..1_000 {
            window.push(&mut pool, UnixNanos(index), 1_000 * index, SLOT);
        }
        let moments = (gap_ms..80_000).step_by(gap_ms as usize).map(|ms| UnixNanos(ms * NANOS_PER_MILLI));
        let mut listed_since = None;
        for t in moments {
            window.push(&mut pool, t, 3 * NANOS_PER_MILLI, SLOT);
            assert!(window.percentiles(&mut pool, t, SLOT).p50_ms.is_some());
            match (pool.free.len() == pool.rows.len(), listed_since) {
                (true, None) => listed_since = Some(t),
                (false, Some(since)) => panic!("every {gap_ms} ms: listed at {since:?}, counted at {t:?}"),
                _ => {}
            }
        }
        let listed_since = listed_since.unwrap_or_else(|| panic!("every {gap_ms} ms: still counted"));
        assert!(listed_since.0 <= 60 * NANOS_PER_SECOND + gap_ms * NANOS_PER_MILLI, "{gap_ms} {listed_since:?}");
    }
}

#[test]
fn rows_of_a_silent_symbol_are_released_once_its_window_is_over() {
    let mut pool = BucketRowPool::new(1).expect("there is memory");
    let mut window = LatencyWindow::new().expect("there is memory");
    for _ in 0..=LISTED_MAX {
        window.push(&mut pool, UnixNanos(2 * SLOT), 3 * NANOS_PER_MILLI, SLOT);
    }
    assert!(pool.is_low() && pool.take().is_none());
    window.release_outrun(&mut pool, UnixNanos(14 * SLOT - 1), SLOT);
    assert!(pool.free.is_empty());
    let over = UnixNanos(14 * SLOT);
    window.release_outrun(&mut pool, over, SLOT);
    assert!(!pool.is_low() && pool.free.len() == 1);
    assert_eq!(window.percentiles(&mut pool, over, SLOT), LatencyPercentiles::default());
    assert!(!window.is_truncated(over, SLOT));
    assert!(window.is_truncated(UnixNanos(14 * SLOT - 1), SLOT), "`now` has stepped back");
}

#[test]
fn moments_of_the_far_future_overflow_nothing() {
    let mut pool = BucketRowPool::new(1).expect("there is memory");
    let mut window = LatencyWindow::new().expect("there is memory");
    let t = UnixNanos(i64::MAX - 60 * NANOS_PER_SECOND);
    window.push(&mut pool, t, 3 * NANOS_PER_MILLI, SLOT);
    assert!(window.percentiles(&mut pool, t, SLOT).p50_ms.is_some());
    window.clear(&mut pool);
    assert_eq!(window.percentiles(&mut pool, t, SLOT), LatencyPercentiles::default());
    window.push(&mut pool, UnixNanos(0), 5 * NANOS_PER_MILLI, SLOT);
    assert!((window.percentiles(&mut pool, UnixNanos(0), SLOT).p50_ms.unwrap() - 5.0).abs() < 0.1);
}

#[test]
fn samples_lost_for_want_of_rows_are_said_until_they_would_have_left() {
    let mut pool = BucketRowPool::new(0).expect("there is memory");
    let mut window = LatencyWindow::new().expect("there is memory");
    let mut push = |window: &mut LatencyWindow, t| window.push(&mut pool, UnixNanos(t), 3 * NANOS_PER_MILLI, SLOT);
    for _ in 0..LISTED_MAX {
        push(&mut window, 2 * SLOT);
    }
    assert!(!window.is_truncated(UnixNanos(2 * SLOT), SLOT), "the list has room for them");
    push(&mut window, 2 * SLOT);
    let last_inside = 14 * SLOT - 1;
    assert!(window.is_truncated(UnixNanos(2 * SLOT), SLOT));
    assert!(window.is_truncated(UnixNanos(last_inside), SLOT));
    assert!(!window.is_truncated(UnixNanos(last_inside + 1), SLOT));
}
