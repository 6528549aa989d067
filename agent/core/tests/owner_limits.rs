//! The owner's limits: what each says to what is observed, one by one, and what holds for all of them together.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dgon_agent_core::owner::{
    Activity, GpuSeen, Input, Judge, Judgement, Limits, Mode, NetworkOrder, Observation, Orders,
    QuietSpan, Verdict, decide,
};
use proptest::prelude::*;

fn only(judgements: Vec<Judgement>) -> Judgement {
    let [one] = <[Judgement; 1]>::try_from(judgements).unwrap();
    one
}

fn at(temp_c: Option<f32>) -> Observation {
    Observation {
        gpus: vec![GpuSeen {
            index: 0,
            temp_c,
            power_w: Some(200.0),
        }],
        ..Observation::default()
    }
}

#[test]
fn a_node_without_limits_is_judged_by_none() {
    let mut judge = Judge::new(Limits {
        tariff_usd_per_kwh: Some(0.3),
        ..Limits::default()
    });
    assert_eq!(judge.look(&at(Some(200.0))), []);
    assert!(!judge.limits().any());
}

#[test]
fn a_machine_is_in_use_while_its_own_people_use_it() {
    use Verdict::{Clear, Stops};
    let mut judge = Judge::new(Limits {
        idle_only: true,
        ..Limits::default()
    });
    let unseen = || Input::Unseen("no such thing here".to_owned());
    for (local_requests, since, input, verdict, says) in [
        (1, None, Input::IdleFor(9_000), Stops, "1 requests"),
        (0, Some(299), Input::IdleFor(9_000), Stops, "4 min ago"),
        (0, Some(300), Input::IdleFor(9_000), Clear, "150 min"),
        (0, None, Input::IdleFor(299), Stops, "keyboard"),
        (0, None, Input::IdleFor(300), Clear, "5 min"),
        (0, None, Input::InUse, Stops, "somebody works"),
        (0, None, Input::Idle, Clear, "nobody works"),
        (0, Some(10), unseen(), Stops, "10 s ago"),
        (0, None, unseen(), Clear, "no such thing here"),
    ] {
        let observed = Observation {
            activity: Activity {
                local_requests,
                since_local_request_s: since,
                input,
            },
            ..Observation::default()
        };
        let said = only(judge.look(&observed));
        assert_eq!(said.verdict, verdict, "{observed:?}");
        assert!(said.finding.contains(says), "{}", said.finding);
    }
}

#[test]
fn quiet_hours_follow_the_clock_on_the_wall() {
    let mut judge = Judge::new(Limits {
        quiet_hours: vec![
            QuietSpan {
                from_minute: 22 * 60,
                to_minute: 7 * 60,
            },
            QuietSpan {
                from_minute: 12 * 60,
                to_minute: 13 * 60,
            },
        ],
        ..Limits::default()
    });
    // The clock jumps from 01:59 to 03:00 and from 02:59 back to 02:00: only what it says counts.
    for (minute, verdict) in [
        (Some(21 * 60 + 59), Verdict::Clear),
        (Some(22 * 60), Verdict::Stops),
        (Some(119), Verdict::Stops),
        (Some(180), Verdict::Stops),
        (Some(179), Verdict::Stops),
        (Some(120), Verdict::Stops),
        (Some(420), Verdict::Clear),
        (Some(725), Verdict::Stops),
        (None, Verdict::Unknown),
    ] {
        let observed = Observation {
            minute_of_day: minute,
            ..Observation::default()
        };
        assert_eq!(only(judge.look(&observed)).verdict, verdict, "{minute:?}");
    }
}

#[test]
fn a_hot_gpu_must_cool_down_before_it_serves_again() {
    let mut judge = Judge::new(Limits {
        max_gpu_temp_c: Some(85),
        ..Limits::default()
    });
    use Verdict::{Clear, Stops, Unknown};
    for (step, (temp, verdict)) in [
        (None, Unknown),
        (Some(85.0), Clear),
        (Some(85.5), Stops),
        (Some(84.0), Stops),
        (Some(80.5), Stops),
        (Some(80.0), Clear),
        (Some(84.9), Clear),
        (Some(90.0), Stops),
        // It fell asleep: forgotten after six looks without a reading.
        (None, Stops),
        (None, Stops),
        (Some(f32::NAN), Stops),
        (None, Stops),
        (None, Stops),
        (None, Unknown),
        (Some(82.0), Clear),
    ]
    .into_iter()
    .enumerate()
    {
        let said = only(judge.look(&at(temp)));
        assert_eq!(said.verdict, verdict, "step {step}: {}", said.finding);
    }
}

#[test]
fn profit_is_what_remains_after_electricity() {
    let limits = Limits {
        min_profit_usd_per_hour: Some(0.05),
        tariff_usd_per_kwh: Some(0.30),
        ..Limits::default()
    };
    let earning = |usd: Option<f64>, observed: Observation| Observation {
        earnings_usd_per_hour: usd,
        ..observed
    };
    let mut judge = Judge::new(limits.clone());
    // 200 W at 0.30 USD are 0.06 USD an hour.
    let enough = only(judge.look(&earning(Some(0.111), at(None))));
    assert_eq!(enough.verdict, Verdict::Clear, "{}", enough.finding);
    let less = only(judge.look(&earning(Some(0.109), at(None))));
    assert_eq!(less.verdict, Verdict::Stops, "{}", less.finding);
    let no_prices = only(judge.look(&earning(None, at(None))));
    assert_eq!(no_prices.verdict, Verdict::Unknown);
    assert!(no_prices.finding.contains("not applied"));
    let no_number = only(judge.look(&earning(Some(f64::NAN), at(None))));
    assert_eq!(no_number.verdict, Verdict::Stops);

    let mut judge = Judge::new(limits.clone());
    let no_power = only(judge.look(&earning(Some(9.0), Observation::default())));
    assert_eq!(no_power.verdict, Verdict::Unknown);
    let mut judge = Judge::new(Limits {
        tariff_usd_per_kwh: None,
        ..limits
    });
    let free = only(judge.look(&earning(Some(0.05), Observation::default())));
    assert_eq!(free.verdict, Verdict::Clear);
}

/// Power falls when a node pauses; the cost of serving must not fall with it at once.
#[test]
fn a_node_that_pauses_for_its_power_does_not_flap() {
    let mut judge = Judge::new(Limits {
        min_profit_usd_per_hour: Some(0.0),
        tariff_usd_per_kwh: Some(1.0),
        ..Limits::default()
    });
    let mut look = |watts: f32| {
        let observed = Observation {
            gpus: vec![GpuSeen {
                index: 0,
                temp_c: None,
                power_w: Some(watts),
            }],
            earnings_usd_per_hour: Some(0.2),
            ..Observation::default()
        };
        only(judge.look(&observed)).verdict
    };
    assert_eq!(look(20.0), Verdict::Clear);
    assert_eq!(look(400.0), Verdict::Stops);
    let mut held = 0;
    while look(20.0) == Verdict::Stops {
        held += 1;
        assert!(held < 1_000, "it never serves again");
    }
    // At a look every ten seconds: over ten minutes.
    assert!(held > 60, "{held}");
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (
        any::<bool>(),
        prop::collection::vec((0u16..1440, 0u16..1440), 0..3),
        prop::option::of(30u32..120),
        prop::option::of(0.0..1.0),
        prop::option::of(0.0..1.0),
    )
        .prop_map(
            |(idle_only, spans, max_gpu_temp_c, profit, tariff)| Limits {
                idle_only,
                quiet_hours: spans
                    .into_iter()
                    .map(|(from_minute, to_minute)| QuietSpan {
                        from_minute,
                        to_minute,
                    })
                    .collect(),
                max_gpu_temp_c,
                min_profit_usd_per_hour: profit,
                tariff_usd_per_kwh: tariff,
            },
        )
}

fn any_seen() -> impl Strategy<Value = Observation> {
    let input = prop_oneof![
        (0u64..1_000).prop_map(Input::IdleFor),
        Just(Input::InUse),
        Just(Input::Idle),
        Just(Input::default()),
    ];
    let gpu = (
        0u32..3,
        prop::option::of(20f32..130.0),
        prop::option::of(0f32..700.0),
    )
        .prop_map(|(index, temp_c, power_w)| GpuSeen {
            index,
            temp_c,
            power_w,
        });
    (
        prop::option::of(0u16..1440),
        (0u32..2, prop::option::of(0u64..1_000), input),
        prop::collection::vec(gpu, 0..3),
        prop::option::of(-1.0..2.0),
    )
        .prop_map(
            |(minute_of_day, (local_requests, since, input), gpus, earnings)| Observation {
                minute_of_day,
                activity: Activity {
                    local_requests,
                    since_local_request_s: since,
                    input,
                },
                gpus,
                earnings_usd_per_hour: earnings,
            },
        )
}

fn any_orders() -> impl Strategy<Value = Orders> {
    let network = prop_oneof![
        Just(None),
        Just(Some(NetworkOrder::Pause)),
        Just(Some(NetworkOrder::Drain)),
    ];
    (any::<bool>(), any::<bool>(), network).prop_map(|(owner_paused, owner_draining, network)| {
        Orders {
            owner_paused,
            owner_draining,
            network,
        }
    })
}

/// `limits` and those of `more` that it lacks.
fn both(limits: &Limits, more: &Limits) -> Limits {
    Limits {
        idle_only: limits.idle_only || more.idle_only,
        quiet_hours: [limits.quiet_hours.clone(), more.quiet_hours.clone()].concat(),
        max_gpu_temp_c: limits.max_gpu_temp_c.or(more.max_gpu_temp_c),
        min_profit_usd_per_hour: limits
            .min_profit_usd_per_hour
            .or(more.min_profit_usd_per_hour),
        tariff_usd_per_kwh: limits.tariff_usd_per_kwh,
    }
}

proptest! {
    #[test]
    fn a_limit_more_never_makes_a_node_serve(
        fewer in any_limits(),
        more in any_limits(),
        orders in any_orders(),
        looks in prop::collection::vec(any_seen(), 1..30),
    ) {
        let more = both(&fewer, &more);
        let (mut lax, mut strict) = (Judge::new(fewer), Judge::new(more));
        for observed in looks {
            let lax = decide(orders, &lax.look(&observed));
            let strict = decide(orders, &strict.look(&observed));
            prop_assert!(lax.mode == Mode::Serving || strict.mode != Mode::Serving);
            for reason in &lax.reasons {
                prop_assert!(strict.reasons.contains(reason), "{reason:?}");
            }
        }
    }

    #[test]
    fn an_order_more_never_makes_a_node_serve_and_reasons_say_why(
        limits in any_limits(),
        orders in any_orders(),
        observed in any_seen(),
    ) {
        let judgements = Judge::new(limits).look(&observed);
        let free = decide(Orders::default(), &judgements);
        let now = decide(orders, &judgements);
        prop_assert!(free.mode == Mode::Serving || now.mode != Mode::Serving);
        prop_assert_eq!(now.mode == Mode::Serving, now.reasons.is_empty());
        if orders.owner_paused || orders.owner_draining {
            prop_assert!(now.mode != Mode::Serving);
            let lifted = decide(Orders { network: None, ..orders }, &judgements);
            prop_assert!(lifted.mode != Mode::Serving, "the control plane lifted the owner's order");
        }
        for judgement in &judgements {
            let is_reason = now.reasons.contains(&judgement.limit.reason());
            prop_assert_eq!(judgement.verdict == Verdict::Stops, is_reason);
            prop_assert!(!judgement.finding.is_empty() && !judgement.setting.is_empty());
        }
    }

    #[test]
    fn a_lower_temperature_limit_stops_at_least_as_much(
        low in 40u32..100,
        more in 0u32..20,
        temps in prop::collection::vec(prop::option::of(30f32..120.0), 1..40),
    ) {
        let judge = |max| Judge::new(Limits { max_gpu_temp_c: Some(max), ..Limits::default() });
        let (mut strict, mut lax) = (judge(low), judge(low + more));
        for temp in temps {
            let strict = only(strict.look(&at(temp))).verdict;
            let lax = only(lax.look(&at(temp))).verdict;
            prop_assert!(lax != Verdict::Stops || strict == Verdict::Stops);
        }
    }
}
