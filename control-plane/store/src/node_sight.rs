//! What of a node is whose to see. Said here and nowhere else.
//!
//! | whose | nodes in sight | of each |
//! |---|---|---|
//! | `System` | all | everything |
//! | `Organisation` | its own, and those that others are shown | of its own everything, of others' what strangers see |
//! | `Person`, `Stranger` | those that others are shown | what strangers see |
//!
//! So whoever is signed in sees at least what a stranger is shown. Whether strangers are shown anything is a flag, which is
//! looked at before anybody comes here; those who are signed in see the same whether it is on or off. What of a row is left
//! out where [`Scope::owns`] says no, the server's views say (`NodeRow::of_row`): filters and orders must not find by it
//! (`node_queries`).

use crate::scope::Scope;
use crate::statement::Statement;

/// What holds of every node (`nodes n`) that others than its own people are shown. Today all are shown.
const SHOWN_TO_OTHERS: &[&str] = &[];

impl Scope {
    /// Appends the condition on nodes (`nodes n`) that are in sight.
    pub(crate) fn push_in_sight(&self, statement: &mut Statement) {
        self.push_shown(statement, SHOWN_TO_OTHERS);
    }

    fn push_shown(&self, statement: &mut Statement, conditions: &[&'static str]) {
        if self.is_system() {
            return;
        }
        for condition in conditions {
            statement.sql(" AND (").sql(condition);
            if let Some(org_id) = self.org_id() {
                statement.sql(" OR n.org_id = ").text(org_id);
            }
            statement.sql(")");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::System;

    #[test]
    fn what_hides_a_node_hides_it_from_all_but_its_own_people() {
        let condition = |scope: &Scope| {
            let mut statement = Statement::new("TRUE");
            scope.push_shown(&mut statement, &["n.region <> 'moon'"]);
            let sql = statement.build::<sqlx::Sqlite>().into_sql();
            sql.as_str().to_owned()
        };
        assert_eq!(condition(&Scope::from(System::of_the_server())), "TRUE");
        assert_eq!(
            condition(&Scope::Organisation("own".to_owned())),
            "TRUE AND (n.region <> 'moon' OR n.org_id = ?)"
        );
        for scope in [Scope::Stranger, Scope::Person("u".to_owned())] {
            assert_eq!(condition(&scope), "TRUE AND (n.region <> 'moon')");
        }
    }
}
