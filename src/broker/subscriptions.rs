//! All subscriptions of all clients, and which of them get a message.
//!
//! A message goes to every plain subscription whose pattern matches its subject, in the order of their arrival, and to one
//! member, drawn at random, of each queue group with a match. Each message is held against each subscription: they are
//! few ([`BrokerLimits::subscriptions`](crate::broker::BrokerLimits)).

use proto_nats::subject;

use crate::broker::client::ClientId;
use crate::engine::random::Random;

pub struct Subscription {
    pub owner: ClientId,
    pub sid: Box<[u8]>,
    pattern: Box<[u8]>,
    queue_group: Option<Box<[u8]>>,
    delivered: u64,
    /// Ends with the delivery that makes `delivered` this.
    max: Option<u64>,
}

impl Subscription {
    pub fn is_used_up(&self) -> bool {
        self.max.is_some_and(|max| self.delivered >= max)
    }

    pub fn count_delivery(&mut self) {
        self.delivered += 1;
    }
}

pub struct Subscriptions {
    /// In the order of their arrival.
    list: Vec<Subscription>,
    /// Which member of a queue group gets the next message.
    random: Random,
    /// Queue subscriptions that match the message that is being routed, by index.
    members: Vec<usize>,
}

impl Subscriptions {
    pub fn new(seed: u64) -> Subscriptions {
        Subscriptions { list: Vec::new(), random: Random::new(seed), members: Vec::new() }
    }

    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// A `sid` that its owner uses already stays what it is.
    pub fn add(&mut self, owner: ClientId, sid: &[u8], pattern: &[u8], queue_group: Option<&[u8]>) {
        if self.position(owner, sid).is_none() {
            self.list.push(Subscription {
                owner,
                sid: sid.into(),
                pattern: pattern.into(),
                queue_group: queue_group.map(Into::into),
                delivered: 0,
                max: None,
            });
        }
    }

    /// Ends a subscription after `max` deliveries since its begin, or now. One that is not known is ignored.
    pub fn end_after(&mut self, owner: ClientId, sid: &[u8], max: Option<u64>) {
        if let Some(index) = self.position(owner, sid) {
            let subscription = &mut self.list[index];
            subscription.max = Some(max.unwrap_or(0));
            if subscription.is_used_up() {
                self.list.remove(index);
            }
        }
    }

    /// Indices are valid until this.
    pub fn retain(&mut self, is_kept: impl Fn(&Subscription) -> bool) {
        self.list.retain(is_kept);
    }

    pub fn at(&mut self, index: usize) -> &mut Subscription {
        &mut self.list[index]
    }

    /// The owner's first subscription whose pattern matches.
    pub fn find(&self, owner: ClientId, subject: &[u8]) -> Option<usize> {
        self.list.iter().position(|known| known.owner == owner && subject::matches(&known.pattern, subject))
    }

    /// Appends those that get a message on `subject`; `without`'s own do not.
    pub fn select(&mut self, subject: &[u8], without: Option<ClientId>, selected: &mut Vec<usize>) {
        let Subscriptions { list, random, members } = self;
        members.clear();
        for (index, subscription) in list.iter().enumerate() {
            if Some(subscription.owner) == without || !subject::matches(&subscription.pattern, subject) {
                continue;
            }
            let is_member = subscription.queue_group.is_some();
            if is_member { members.push(index) } else { selected.push(index) }
        }
        while let Some(&first) = members.first() {
            let group = &list[first].queue_group;
            let is_in_group = |index: &usize| list[*index].queue_group == *group;
            let count = members.iter().filter(|index| is_in_group(index)).count();
            let drawn = random.below(count as u64) as usize;
            let member = members.iter().copied().filter(|index| is_in_group(index)).nth(drawn);
            selected.push(member.expect("what is drawn is below the count"));
            members.retain(|index| !is_in_group(index));
        }
    }

    fn position(&self, owner: ClientId, sid: &[u8]) -> Option<usize> {
        self.list.iter().position(|known| known.owner == owner && *known.sid == *sid)
    }
}
