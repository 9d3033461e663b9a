//! The order of the nodes in a column, so that few edges cross: each node goes to the middle of its neighbours, column
//! after column, forth and back (the barycentre of Sugiyama's method). Nodes without neighbours come last; otherwise
//! the order of the file is kept.

use super::picture::{Picture, PictureColumn};

/// The number of sweeps forth and back: more sweeps change little.
const SWEEPS: usize = 8;

/// Returns the same picture with fewer crossings.
pub(super) fn untangled(mut picture: Picture) -> Picture {
    for _ in 0..SWEEPS {
        let order = by_middle(picture.routes.len(), picture.heard.iter().map(|(source, route)| (*route, *source)));
        picture.move_routes(&order);
        let order = by_middle(picture.destinations.len(), picture.sent.iter().map(|(route, to)| (*to, *route)));
        permute(&mut picture.destinations, &order, picture.sent.iter_mut().map(|(_, to)| to));
        let order = by_middle(picture.routes.len(), picture.sent.iter().copied());
        picture.move_routes(&order);
        let order = by_middle(picture.sources.len(), picture.heard.iter().copied());
        permute(&mut picture.sources, &order, picture.heard.iter_mut().map(|(source, _)| source));
    }
    picture
}

impl Picture {
    fn move_routes(&mut self, order: &[usize]) {
        let ends = self.heard.iter_mut().map(|(_, route)| route).chain(self.sent.iter_mut().map(|(route, _)| route));
        permute(&mut self.routes, order, ends);
    }
}

/// Returns the nodes of a column by the middle of their neighbours; `edges` lead from a node to a neighbour.
fn by_middle(nodes: usize, edges: impl Iterator<Item = (usize, usize)>) -> Vec<usize> {
    let mut sums = vec![(0_usize, 0_usize); nodes];
    for (node, neighbour) in edges {
        if let Some((sum, count)) = sums.get_mut(node) {
            *sum += neighbour;
            *count += 1;
        }
    }
    // The middle in millionths, since a float has no order.
    let middle = |node: &usize| match sums.get(*node) {
        Some((sum, count)) if *count > 0 => sum.saturating_mul(1_000_000) / count,
        _ => usize::MAX,
    };
    let mut order: Vec<usize> = (0..nodes).collect();
    order.sort_by_key(middle);
    order
}

/// Puts the nodes into `order`, and updates the `ends` of edges.
fn permute<'e>(column: &mut PictureColumn, order: &[usize], ends: impl Iterator<Item = &'e mut usize>) {
    let mut places = vec![0; order.len()];
    for (new, old) in order.iter().enumerate() {
        if let Some(place) = places.get_mut(*old) {
            *place = new;
        }
    }
    for end in ends {
        *end = places.get(*end).copied().unwrap_or(*end);
    }
    *column = order.iter().filter_map(|old| column.get(*old).cloned()).collect();
}

#[cfg(test)]
mod tests {
    use super::super::picture::PictureNode;
    use super::*;

    fn column(names: &[&str]) -> PictureColumn {
        let node = |name: &&str| PictureNode { name: (*name).to_owned(), lines: vec![], labels: vec![], is_idle: None };
        names.iter().map(node).collect()
    }

    fn names(column: &PictureColumn) -> Vec<&str> {
        column.iter().map(|node| node.name.as_str()).collect()
    }

    fn crossings(edges: &[(usize, usize)]) -> usize {
        let crosses = |one: &(usize, usize), other: &(usize, usize)| (one.0 < other.0) && (one.1 > other.1);
        edges.iter().map(|one| edges.iter().filter(|other| crosses(one, other)).count()).sum()
    }

    #[test]
    fn what_belongs_together_comes_to_stand_together() {
        let picture = Picture {
            sources: column(&["a", "b", "idle", "c"]),
            routes: column(&["c1", "b1", "a1", "a2"]),
            destinations: column(&["for b", "for a", "for c"]),
            heard: vec![(3, 0), (1, 1), (0, 2), (0, 3)],
            sent: vec![(0, 2), (1, 0), (2, 1), (3, 1)],
        };
        assert!(crossings(&picture.heard) + crossings(&picture.sent) > 5);
        let picture = untangled(picture);
        assert_eq!((crossings(&picture.heard), crossings(&picture.sent)), (0, 0));
        assert_eq!(names(&picture.sources), ["a", "b", "c", "idle"]);
        assert_eq!(names(&picture.routes), ["a1", "a2", "b1", "c1"]);
        assert_eq!(names(&picture.destinations), ["for a", "for b", "for c"]);
        for (from, to) in picture.heard {
            assert!(names(&picture.routes)[to].starts_with(names(&picture.sources)[from]));
        }
    }
}
