"""The fifteen published features of card transactions as practitioners compute them, with pandas.

Written from the description in the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022).
For each customer: counts and mean amounts, rolling over 1, 7 and 30 days, the transaction itself included.
For each terminal: counts and the share of frauds over the same spans, of what is at least a week old, as the
difference of two rolling windows. It shares no code with riverrun, which is measured against it and tested
with it.
"""

import pandas as pd

DAYS = (1, 7, 30)
DELAY_DAYS = 7


def rolling_features(transactions: pd.DataFrame) -> pd.DataFrame:
    """The transactions with their features, under riverrun's names, in the order of their ids.

    transactions: columns transaction_id, event_time, customer_id, terminal_id, amount and is_fraud.
    """
    times = transactions["event_time"].dt
    found = transactions.assign(
        during_weekend=(times.day_of_week >= 5).astype("float64"),
        during_night=(times.hour <= 6).astype("float64"),
    )
    found = found.groupby("customer_id", group_keys=False)[found.columns].apply(customer_features)
    found = found.groupby("terminal_id", group_keys=False)[found.columns].apply(terminal_features)
    return found.sort_values("transaction_id")


def customer_features(transactions: pd.DataFrame) -> pd.DataFrame:
    """One customer's transactions, with the spending windows."""
    transactions = transactions.sort_values(["event_time", "transaction_id"])
    amounts = transactions.set_index("event_time")["amount"]
    for days in DAYS:
        window = amounts.rolling(f"{days}D")
        transactions[f"customer_count_{days}d"] = window.count().to_numpy()
        transactions[f"customer_mean_amount_{days}d"] = window.mean().to_numpy()
    return transactions


def terminal_features(transactions: pd.DataFrame) -> pd.DataFrame:
    """One terminal's transactions, with the windows of risk: what is younger than the delay is taken away."""
    transactions = transactions.sort_values(["event_time", "transaction_id"])
    frauds = transactions.set_index("event_time")["is_fraud"]
    unknown = frauds.rolling(f"{DELAY_DAYS}D")
    unknown_count, unknown_frauds = unknown.count(), unknown.sum()
    for days in DAYS:
        window = frauds.rolling(f"{DELAY_DAYS + days}D")
        count = window.count() - unknown_count
        risk = (window.sum() - unknown_frauds) / count
        transactions[f"terminal_count_{days}d_delay_7d"] = count.to_numpy()
        transactions[f"terminal_mean_label_{days}d_delay_7d"] = risk.fillna(0.0).to_numpy()
    return transactions
