//! What the hot paths cost: no allocation for a cached answer, and memory that 100,000 names may take.

use dns::{Action, Outcome, Pattern, Rule, Zones};

use crate::support::*;

#[test]
fn a_cached_answer_costs_no_allocation() {
    let mut world = World::new();
    let asked = edns_query(1, "wiki.corp.example", "A", 1232, false);
    world.resolve(&asked, |message| {
        message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
    });
    assert_eq!(world.query(udp(1), &asked), Outcome::Answer);
    let mut hits = 0;
    let cost = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            let outcome = world.resolver.handle_query(udp(1), &asked, world.now, &mut world.out);
            hits += usize::from(outcome == Outcome::Answer);
        }
    });
    assert_eq!((hits, cost.count_total), (1_000, 0));
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is to be written down")]
fn a_hundred_thousand_rules_take_less_than_40_mib() {
    let mut zones = None;
    let cost = allocation_counter::measure(|| {
        let rules = (0..100_000).map(|index| Rule {
            pattern: Pattern::Exact(
                format!("host{index}.department{}.corp.example.com", index % 100).parse().unwrap(),
            ),
            action: Action::Grant { gateway: HQ, grant: index },
        });
        zones = Some(Zones::new(rules, [], gateways()).unwrap());
    });
    println!(
        "100,000 rules: {:.1} MiB kept, {:.1} MiB at the highest",
        cost.bytes_current as f64 / 1_048_576.0,
        cost.bytes_max as f64 / 1_048_576.0
    );
    assert!(zones.is_some());
    assert!(cost.bytes_max < 40 << 20, "{} bytes", cost.bytes_max);
}
