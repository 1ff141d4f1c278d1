"""A plan as text."""

import canonical

TEXT = """
step  what   of       writes         reads        tables                                bytes  after
0     LOAD   x        rows 0..25     x 0..103                                               0
1     TABLE                                       DECODE 0: 0..15                          64
2     TABLE                                       DECODE 1: 0..15                          64
3     TABLE                                       BASE 0: 0..3                             16
4     TABLE                                       OFFSET 0: 0..8                           36
5     TABLE                                       CLUSTER 0: 0..15                         64
6     RUN    conv1    rows 26..39    rows 0..25   BASE 0 OFFSET 0 DECODE 0 1 CLUSTER 0    128  5
7     FILL   conv2    rows 0..2                                                             0
8     TABLE                                       BASE 1: 0..2                              0
9     TABLE                                       OFFSET 1: 0..3                           16
10    TABLE                                       CLUSTER 1: 0..15                         64
11    TABLE                                       DECODE 0: 0..15                          64  6
12    RUN    conv2    rows 0..2      rows 26..39  BASE 1 OFFSET 1 DECODE 0 CLUSTER 1       48  11
13    STORE  output3  output3 0..11  rows 0..2                                              0  12
"""


def test_a_plan_says_what_every_step_reads_writes_and_waits_for():
    machine = canonical.config()
    net = canonical.Builder(machine, (2, 6, 6))
    first = net.conv("x", 3, padding=(1, 1, 1, 1))
    net.output(net.conv(first, 2, (2, 2), (2, 2)))
    assert str(canonical.planned(net.quantised(), machine)) == TEXT.strip()
