//! What of a node is whose to see. Said here and nowhere else.
//!
//! | whose | nodes in sight | of each |
//! |---|---|---|
//! | `System` | all | everything |
//! | `Organisation` | its own, those in no pool, and those of private pools that admit it | of its own everything, of others' what strangers see |
//! | `Person`, `Stranger` | those in no pool | what strangers see |
//!
//! So whoever is signed in sees at least what a stranger is shown. Whether strangers are shown anything is a flag, which is
//! looked at before anybody comes here; those who are signed in see the same whether it is on or off. What of a row is left
//! out where [`Scope::owns`] says no, the server's views say (`NodeRow::of_row`): filters and orders must not find by it
//! (`node_queries`). Sums of the whole network count every node, whoever asks (`summary`).
//!
//! While private pools are off nobody is admitted, and what was private stays so.

use crate::scope::Scope;
use crate::statement::Statement;

/// The flag without which no pool admits anybody.
pub const PRIVATE_POOLS: &str = "enable_private_pools";

/// The node is in a pool that admits the organisation that follows.
const IS_ADMITTED: &str = "n.pool_id IN (SELECT m.pool_id FROM pool_members m \
     JOIN flags f ON f.name = 'enable_private_pools' AND f.enabled WHERE m.org_id = ";

impl Scope {
    /// Appends the condition on nodes (`nodes n`) that are in sight.
    pub(crate) fn push_in_sight(&self, statement: &mut Statement) {
        if self.is_system() {
            return;
        }
        statement.sql(" AND (n.pool_id IS NULL");
        if let Some(org_id) = self.org_id() {
            statement.sql(" OR n.org_id = ").text(org_id);
            statement.sql(" OR ").sql(IS_ADMITTED).text(org_id).sql(")");
        }
        statement.sql(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::System;

    #[test]
    fn a_pool_hides_a_node_from_all_but_its_own_people_and_those_it_admits() {
        let condition = |scope: &Scope| {
            let mut statement = Statement::new("TRUE");
            scope.push_in_sight(&mut statement);
            let sql = statement.build::<sqlx::Sqlite>().into_sql();
            sql.as_str().to_owned()
        };
        assert_eq!(condition(&Scope::from(System::of_the_server())), "TRUE");
        let own = condition(&Scope::Organisation("own".to_owned()));
        assert!(
            own.starts_with("TRUE AND (n.pool_id IS NULL OR n.org_id = ? OR n.pool_id IN ("),
            "{own}"
        );
        assert!(own.contains(&format!("'{PRIVATE_POOLS}'")), "{own}");
        for scope in [Scope::Stranger, Scope::Person("u".to_owned())] {
            assert_eq!(condition(&scope), "TRUE AND (n.pool_id IS NULL)");
        }
    }
}
