//! The trade windows against a naive twin: a plain list in time order, from which everything is computed anew.
//!
//! Seeded random trades with ties, gaps and late arrivals, `now` going back and forth ahead of the watermark, prices and
//! sizes that the fixed-point sums cannot hold, and pools that run out. What the pool could not keep, the twin gives up
//! too: always the symbol's oldest trades.

#[path = "support/random.rs"]
mod random;
mod seeds;

use std::io::Write;

use random::Random;
use senpai_md_consumer::engine::bounds::CHUNK_TRADES;
use senpai_md_consumer::engine::state::trade_pool::TradePool;
use senpai_md_consumer::engine::state::trade_window::{TradeFeatures, TradeWindow, WindowLengths};
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND as SECOND, UnixNanos};

const START: i64 = 1_721_347_020 * SECOND;
const FULL: WindowLengths = WindowLengths { long: 60 * SECOND, short: 10 * SECOND };

#[derive(Clone, Copy)]
struct Trade {
    t: i64,
    price: f64,
    size: f64,
}

/// What is retained of one symbol, in order of (t, arrival).
#[derive(Default)]
struct Twin {
    trades: Vec<Trade>,
    watermark: i64,
    lost: Option<i64>,
}

impl Twin {
    fn push(&mut self, trade: Trade) {
        let place = self.trades.partition_point(|held| held.t <= trade.t);
        self.trades.insert(place, trade);
    }

    fn give_up(&mut self, count: usize) {
        for trade in self.trades.drain(..count) {
            self.lost = self.lost.max(Some(trade.t));
        }
    }

    /// All but the newest of those that no window from the watermark on can hold.
    fn forget(&mut self, lengths: WindowLengths) {
        let outside = self.trades.partition_point(|trade| trade.t <= self.watermark - lengths.long);
        self.trades.drain(..outside.saturating_sub(1));
    }

    fn since(&self, after: i64) -> &[Trade] {
        &self.trades[self.trades.partition_point(|trade| trade.t <= after)..]
    }

    fn features(&self, now: i64, lengths: WindowLengths) -> TradeFeatures {
        let (long, short) = (self.since(now - lengths.long), self.since(now - lengths.short));
        TradeFeatures {
            vwap_short: vwap(short),
            vwap_long: vwap(long),
            count_short: short.len() as u32,
            volume_short: short.iter().fold(0.0, |sum, trade| sum + trade.size).min(f64::MAX),
            realized_vol_long: realized_vol(long),
        }
    }

    fn return_short(&self, now: i64, lengths: WindowLengths) -> Option<f64> {
        let before = self.trades.partition_point(|trade| trade.t <= now - lengths.short).checked_sub(1)?;
        let (price, before) = (self.trades.last()?.price, self.trades[before].price);
        Some((price - before) / before).filter(|value| value.is_finite())
    }
}

fn vwap(trades: &[Trade]) -> Option<f64> {
    let (notional, size) = trades
        .iter()
        .fold((0.0, 0.0), |(notional, size), trade| (notional + trade.price * trade.size, size + trade.size));
    let is_plain = |trade: &Trade| (1e-200..1e200).contains(&(trade.price * trade.size));
    if trades.is_empty() {
        None
    } else if trades.iter().all(is_plain) {
        Some(notional / size)
    } else {
        // By logarithms, in which nothing overflows.
        let ln_sum = |ln: &dyn Fn(&Trade) -> f64| {
            let largest = trades.iter().map(ln).fold(f64::NEG_INFINITY, f64::max);
            largest + trades.iter().map(|trade| (ln(trade) - largest).exp()).sum::<f64>().ln()
        };
        Some((ln_sum(&|trade| trade.price.ln() + trade.size.ln()) - ln_sum(&|trade| trade.size.ln())).exp())
    }
}

fn realized_vol(trades: &[Trade]) -> Option<f64> {
    let returns: Vec<f64> = trades
        .windows(2)
        .map(|pair| {
            let (previous, price) = (pair[0].price, pair[1].price);
            // The logarithm of a quotient close to 1 keeps only what rounding has left of it.
            if (0.9..1.1).contains(&(price / previous)) {
                ((price - previous) / previous).ln_1p()
            } else {
                price.ln() - previous.ln()
            }
        })
        .collect();
    if returns.len() < 2 {
        return None;
    }
    let mean = returns.iter().sum::<f64>() / returns.len() as f64;
    let squares: f64 = returns.iter().map(|value| (value - mean) * (value - mean)).sum();
    Some((squares / (returns.len() - 1) as f64).sqrt())
}

fn is_close(a: Option<f64>, b: Option<f64>) -> bool {
    is_within(a, b, f64::MIN_POSITIVE)
}

/// To 1e-9 of the value, or `absolute`.
fn is_within(a: Option<f64>, b: Option<f64>, absolute: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) + absolute,
        (None, None) => true,
        _ => false,
    }
}

/// Returns are kept in units of 2^-60. Where they are all but equal (two ticks up in a quiet minute), their deviation
/// is a millionth of them and less, and this is what is left of it.
const RETURN_QUANTUM: f64 = 1.0 / (1u64 << 60) as f64;

/// Moves the window to `now` and compares all that it says.
#[track_caller]
fn compare(seed: u64, window: &mut TradeWindow, pool: &TradePool, twin: &Twin, now: i64, lengths: WindowLengths) {
    window.advance(pool, UnixNanos(now), lengths);
    let (actual, expected) = (window.features(pool), twin.features(now, lengths));
    let agrees = actual.count_short == expected.count_short
        && is_close(actual.vwap_short, expected.vwap_short)
        && is_close(actual.vwap_long, expected.vwap_long)
        && is_close(Some(actual.volume_short), Some(expected.volume_short))
        && is_within(actual.realized_vol_long, expected.realized_vol_long, RETURN_QUANTUM);
    assert!(agrees, "seed {seed}, now {now}:\n{actual:?}\n{expected:?}");
    assert!(is_close(Some(window.volume_short(pool)), Some(expected.volume_short)), "seed {seed}");
    assert_eq!(window.return_short(), twin.return_short(now, lengths), "seed {seed}, now {now}");
    assert_eq!(window.newest_price(), twin.trades.last().map(|trade| trade.price), "seed {seed}");
    // Before the short window any trade that was lost would have answered for p(now - 10 s), where none is left.
    let has_base = twin.trades.iter().any(|trade| trade.t <= now - lengths.short);
    let is_truncated = twin.lost.is_some_and(|lost| lost > now - lengths.long || !has_base);
    assert_eq!(window.is_truncated(UnixNanos(now), lengths), is_truncated, "seed {seed}, now {now}");
}

/// The sums are what they would be had nothing but the retained trades ever been pushed: the same bits.
#[track_caller]
fn compare_with_new(seed: u64, window: &TradeWindow, pool: &TradePool, twin: &Twin, now: i64, lengths: WindowLengths) {
    let mut new_pool = TradePool::new(twin.trades.len(), 1).expect("there is memory");
    let mut new = TradeWindow::new(&mut new_pool);
    for trade in &twin.trades {
        new.push(&mut new_pool, UnixNanos(trade.t), trade.price, trade.size);
    }
    new.advance(&new_pool, UnixNanos(now), lengths);
    assert_eq!(window.features(pool), new.features(&new_pool), "seed {seed}, now {now}");
}

#[derive(Clone, Copy)]
enum Values {
    /// A random walk in ticks, sizes in lots.
    Market,
    /// As a market, with an extreme price or size now and then.
    Outliers,
    /// 1e-300 to 1e300.
    Extreme,
}

#[derive(Clone, Copy)]
struct Scenario {
    seed: u64,
    symbols: usize,
    pool_trades: usize,
    lengths: WindowLengths,
    values: Values,
    /// Between trades of a symbol, on average.
    gap: i64,
    /// One in so many trades is late; 0: none.
    late_one_in: i64,
    events: u32,
    /// Compared at about every so many events.
    compare_one_in: i64,
}

const SCENARIO: Scenario = Scenario {
    seed: 0,
    symbols: 1,
    pool_trades: 100_000,
    lengths: FULL,
    values: Values::Market,
    gap: 300_000_000,
    late_one_in: 5,
    events: 20_000,
    compare_one_in: 10,
};

impl Values {
    fn price(self, last: f64, random: &mut Random) -> f64 {
        match self {
            Values::Outliers if random.one_in(100) => power_of_ten(random),
            Values::Extreme => power_of_ten(random),
            _ if !(1e3..1e6).contains(&last) => 63_943.9,
            _ if random.one_in(200) => last * (0.9 + 0.2 * random.fraction()),
            _ => (last * 10.0 + random.below(21) as f64 - 10.0).round() / 10.0,
        }
    }

    fn size(self, random: &mut Random) -> f64 {
        match self {
            Values::Outliers if random.one_in(100) => power_of_ten(random),
            Values::Extreme => power_of_ten(random),
            _ => (1 + random.below(10_000)) as f64 / 1_000.0,
        }
    }
}

fn power_of_ten(random: &mut Random) -> f64 {
    10f64.powf(600.0 * random.fraction() - 300.0)
}

/// Where the next trade of a symbol stands: at, before or after the watermark.
fn next_t(watermark: i64, scenario: &Scenario, random: &mut Random) -> i64 {
    let Scenario { lengths, gap, late_one_in, .. } = *scenario;
    if late_one_in > 0 && random.one_in(late_one_in) {
        return watermark
            - match random.below(10) {
                0 => lengths.long,
                1 => lengths.short,
                2 => lengths.long - 1,
                3 => lengths.short + 1,
                4..7 => random.below(lengths.long),
                _ => random.below(4 * gap),
            };
    }
    watermark
        + match random.below(1_000) {
            0 => lengths.long + random.below(2 * lengths.long),
            1 => lengths.long,
            2..10 => lengths.short + random.below(lengths.short),
            10..250 => 0,
            _ => random.below(2 * gap),
        }
}

/// Runs a scenario; says how many trades were lost for want of room.
fn run(scenario: Scenario) -> u64 {
    let Scenario { seed, symbols, pool_trades, lengths, values, .. } = scenario;
    let mut random = Random::new(seed);
    let mut pool = TradePool::new(pool_trades, symbols).expect("there is memory");
    let chunks = pool_trades.div_ceil(CHUNK_TRADES) + symbols;
    let mut windows: Vec<_> = (0..symbols).map(|_| TradeWindow::new(&mut pool)).collect();
    let mut twins: Vec<_> = (0..symbols).map(|_| Twin { watermark: START, ..Twin::default() }).collect();
    let mut lost = 0;
    for _ in 0..scenario.events {
        let symbol = (random.below(symbols as i64).min(random.below(symbols as i64))) as usize;
        let (window, twin) = (&mut windows[symbol], &mut twins[symbol]);
        let t = next_t(twin.watermark, &scenario, &mut random);
        let price = values.price(twin.trades.last().map_or(0.0, |trade| trade.price), &mut random);
        let trade = Trade { t, price, size: values.size(&mut random) };
        twin.watermark = twin.watermark.max(t);

        // Kept, it would answer for moments whose trades are gone.
        let is_before_lost = twin.lost.is_some_and(|lost| trade.t < lost);
        let before = pool.trade_count();
        window.push(&mut pool, UnixNanos(trade.t), trade.price, trade.size);
        twin.push(trade);
        let given_up = before + 1 - pool.trade_count();
        if is_before_lost {
            assert_eq!(given_up, 1, "seed {seed}: a trade before those that were lost is not kept");
        }
        if given_up > 0 {
            // Else only a pool whose chunks are all taken loses trades; a chunk but a symbol's first and last is half full.
            assert!(
                is_before_lost || before as usize >= chunks.saturating_sub(2 * symbols) * (CHUNK_TRADES / 2),
                "seed {seed}: {before} held"
            );
            twin.give_up(given_up as usize);
            lost += given_up;
        }

        let ahead = match random.below(12) {
            0 => lengths.long + random.below(lengths.long),
            1 => lengths.short,
            2 => random.below(lengths.long),
            3 => random.below(lengths.short),
            _ => 0,
        };
        let now = twin.watermark + ahead;
        window.advance(&pool, UnixNanos(now), lengths);
        window.forget(&mut pool, UnixNanos(twin.watermark), lengths);
        twin.forget(lengths);

        if random.one_in(scenario.compare_one_in) || given_up > 0 && random.one_in(20) {
            compare(seed, window, &pool, twin, now, lengths);
            compare_with_new(seed, window, &pool, twin, now, lengths);
            for _ in 0..random.below(4) {
                let now = twin.watermark + random.below(lengths.long + lengths.short);
                compare(seed, window, &pool, twin, now, lengths);
            }
            compare(seed, window, &pool, twin, twin.watermark, lengths);
        }
        if random.one_in(100) {
            let held: usize = twins.iter().map(|twin| twin.trades.len()).sum();
            assert_eq!(pool.trade_count(), held as u64, "seed {seed}");
            assert!(held <= chunks * CHUNK_TRADES, "seed {seed}");
        }
    }
    leave(seed, &mut windows, &mut pool, &mut twins, lengths);
    refill(seed, &mut windows, &mut pool, &mut twins, lengths, chunks);
    lost
}

/// Once all trades have left, nothing is left of them: no rounding, and no room taken.
fn leave(seed: u64, windows: &mut [TradeWindow], pool: &mut TradePool, twins: &mut [Twin], lengths: WindowLengths) {
    for (window, twin) in windows.iter_mut().zip(twins) {
        twin.watermark += lengths.long;
        let now = UnixNanos(twin.watermark);
        compare(seed, window, pool, twin, now.0, lengths);
        let features = window.features(pool);
        let empty = TradeFeatures {
            vwap_short: None,
            vwap_long: None,
            count_short: 0,
            volume_short: 0.0,
            realized_vol_long: None,
        };
        assert_eq!(features, empty, "seed {seed}");
        assert_eq!(features.volume_short.to_bits(), 0, "seed {seed}");
        window.forget(pool, now, lengths);
        twin.forget(lengths);
        assert!(twin.trades.len() <= 1, "seed {seed}");
    }
}

/// One symbol can take all the room that there is but the others' chunks: none has been lost on the way.
fn refill(
    seed: u64,
    windows: &mut [TradeWindow],
    pool: &mut TradePool,
    twins: &mut [Twin],
    lengths: WindowLengths,
    chunks: usize,
) {
    let symbols = windows.len();
    let (window, twin) = (&mut windows[0], &mut twins[0]);
    twin.lost = None;
    let lost_before = window.is_truncated(UnixNanos(twin.watermark), lengths);
    assert!(!lost_before, "seed {seed}");
    let others = pool.trade_count() - twin.trades.len() as u64;
    let mut pushed = 0;
    while !window.is_truncated(UnixNanos(twin.watermark), lengths) {
        assert!(pushed <= (chunks - symbols + 1) * CHUNK_TRADES, "seed {seed}: more than there is room for");
        pushed += 1;
        let trade = Trade { t: twin.watermark + 1, price: 2.0, size: 1.0 };
        window.push(pool, UnixNanos(trade.t), trade.price, trade.size);
        twin.push(trade);
    }
    assert!(pushed > (chunks - symbols) * CHUNK_TRADES, "seed {seed}: room for {pushed} in {chunks} chunks");
    let held = (pool.trade_count() - others) as usize;
    twin.give_up(twin.trades.len() - held);
    twin.watermark += 1;
    compare(seed, window, pool, twin, twin.watermark, lengths);
}

/// A volume is never null: beyond the largest f64 it is that.
#[test]
fn a_volume_beyond_all_numbers() {
    let mut pool = TradePool::new(100, 1).expect("there is memory");
    let (mut window, mut twin) = (TradeWindow::new(&mut pool), Twin::default());
    for t in START..START + 3 {
        let trade = Trade { t, price: 1.0, size: f64::MAX };
        window.push(&mut pool, UnixNanos(t), trade.price, trade.size);
        twin.push(trade);
        compare(0, &mut window, &pool, &twin, t, FULL);
    }
    assert_eq!(window.volume_short(&pool), f64::MAX);
}

/// Late trades of very different lateness in turn, in a window of many chunks, some of them in one burst.
#[test]
fn late_trades_in_turn() {
    let lengths = WindowLengths { long: 60_000_000_000, short: 10_000_000_000 };
    let mut random = Random::new(900);
    let mut pool = TradePool::new(40_000, 1).expect("there is memory");
    let (mut window, mut twin) = (TradeWindow::new(&mut pool), Twin::default());
    for event in 0..30_000i64 {
        let now = START + event * 6_000_000 - if event % 9_000 > 8_000 { event % 9_000 * 5_999_000 } else { 0 };
        twin.watermark = twin.watermark.max(now);
        let t = match event % 4 {
            0 | 1 => twin.watermark,
            2 => twin.watermark - SECOND / 1000,
            _ => twin.watermark - random.below(lengths.long),
        };
        let trade = Trade { t, price: 100.0 + random.below(100) as f64, size: 1.0 };
        window.push(&mut pool, UnixNanos(t), trade.price, trade.size);
        twin.push(trade);
        window.advance(&pool, UnixNanos(twin.watermark), lengths);
        window.forget(&mut pool, UnixNanos(twin.watermark), lengths);
        twin.forget(lengths);
        if event % 1_000 == 0 {
            compare(900, &mut window, &pool, &twin, twin.watermark, lengths);
        }
    }
}

#[test]
fn markets() {
    for seed in 1..=8 {
        assert_eq!(run(Scenario { seed, ..SCENARIO }), 0);
        assert_eq!(run(Scenario { seed, late_one_in: 0, ..SCENARIO }), 0);
        assert_eq!(run(Scenario { seed, symbols: 7, ..SCENARIO }), 0);
    }
}

#[test]
fn mostly_late() {
    for seed in 100..=104 {
        run(Scenario { seed, late_one_in: 1, events: 3_000, ..SCENARIO });
        run(Scenario { seed, late_one_in: 2, gap: 60_000_000, ..SCENARIO });
    }
}

#[test]
fn ties_and_gaps() {
    for seed in 200..=204 {
        run(Scenario { seed, gap: 1, events: 5_000, ..SCENARIO });
        run(Scenario { seed, gap: 20 * SECOND, ..SCENARIO });
        run(Scenario { seed, gap: 100 * SECOND, late_one_in: 2, ..SCENARIO });
    }
}

#[test]
fn capped_windows() {
    let capped = |seconds: i64| WindowLengths { long: seconds * SECOND, short: seconds.min(10) * SECOND };
    for seed in 300..=303 {
        for lengths in [capped(1), capped(7), capped(10), capped(30), WindowLengths { long: 1, short: 1 }] {
            run(Scenario { seed, lengths, gap: (lengths.long / 100).max(1), events: 8_000, ..SCENARIO });
        }
    }
}

#[test]
fn outliers_and_extremes() {
    for seed in 400..=405 {
        for values in [Values::Outliers, Values::Extreme] {
            run(Scenario { seed, values, ..SCENARIO });
            run(Scenario { seed, values, symbols: 3, pool_trades: 200, ..SCENARIO });
        }
    }
}

#[test]
fn a_pool_that_runs_out() {
    for seed in 500..=505 {
        for late_one_in in [0, 2, 5] {
            for (pool_trades, symbols) in [(0, 1), (1, 1), (31, 1), (62, 1), (150, 1), (0, 5), (100, 3), (400, 10)] {
                let scenario = Scenario { seed, late_one_in, pool_trades, symbols, events: 5_000, ..SCENARIO };
                assert!(run(scenario) > 0, "seed {seed}: {pool_trades} trades, {symbols} symbols");
            }
        }
    }
}

#[test]
fn ten_million_trades_leave_no_drift() {
    let market = Scenario { seed: 9_000_000, compare_one_in: 2_000, pool_trades: 2_000, symbols: 2, ..SCENARIO };
    assert_eq!(run(Scenario { events: 8_000_000, late_one_in: 10, ..market }), 0);
    run(Scenario { events: 2_000_000, values: Values::Outliers, ..market });
}

/// A scenario of a seed: any mix of the above.
#[test]
fn fresh_seeds() {
    let mut lost = 0;
    for seed in seeds::fresh("windows", 200) {
        let mut random = Random::new(seed);
        let mut one_of = |choices: &[i64]| choices[random.below(choices.len() as i64) as usize];
        let seconds = one_of(&[1, 7, 10, 30, 60, 60, 60]);
        let lengths = WindowLengths { long: seconds * SECOND, short: seconds.min(10) * SECOND };
        lost += run(Scenario {
            seed,
            symbols: one_of(&[1, 1, 2, 3, 7]) as usize,
            pool_trades: one_of(&[0, 31, 150, 1_000, 100_000, 100_000]) as usize,
            lengths,
            values: [Values::Market, Values::Outliers, Values::Extreme][one_of(&[0, 0, 1, 2]) as usize],
            gap: one_of(&[1, 60_000_000, 300_000_000, 300_000_000, 20 * SECOND]),
            late_one_in: one_of(&[0, 1, 2, 5, 5]),
            events: 2_000,
            ..SCENARIO
        });
    }
    let _ = writeln!(std::io::stderr(), "windows: {lost} trades lost for want of room, the rest agree");
}
