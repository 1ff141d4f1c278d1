"""What the page of resnet20.py says beside its figures."""

ABOUT = """ResNet-20 (268,336 weights) on CIFAR-10, pruned and clustered in at most five passes over
12,800 training images, beside the same network trained on in floating point. The asked loss is
missed: no binary here is within one point of a float network trained for five passes. Bytes are
those of weights and biases, or all sections of the `.kbin` for `small` that machine and host need;
entropy coding, by zlib or lzma of Python's library, is told apart. Clocks are those of one image on
`small`. Accuracies are of one seed; one standard error of a difference of test accuracies (5,000
images) is about 0.3 points. The published network has seen the held-back images (3,200) in their
original pixels, so more of them are recognised than of test images, and they told little of what
was lost on these.

No computation reads test images before a row is finished, but people had read them. After test
figures of the schedule to 38 % the one to 45 % was added, and after those the one to 48 %. That
this one trains from labels alone was decided on held-back images: 92.2 % after pruning, 91.6 % with
the teacher. The same schedule without a teacher was also run from the published weights, five
passes in all: 92.1 % of the held-back images after pruning, but its binary recognised 85.72 % of
the test images, 1.78 points fewer than `float32, published and trained on`."""

NETWORKS_NOTE = """`passes` are all those over the 12,800 images: `float32` is the published network
after four of them, and what starts from it has five more at most. `float32, published and trained
on` is the published network after five alone. `loss` is against the test accuracy of `float32,
trained on`, in integers where there are any, in points. What is not clustered is compiled with 16
magnitudes. Taps are those of the binary, shortcuts among them. The branches to 45 % and 48 % begin
after `pruned to 52 %`. `forward order`: layers cut by magnitude one after the other, all to the
density of `pruned to 38 %` in as many passes with the same teacher. Only `48 %, clustered` was
compiled for format 2 of `.kbin`; in it `clustered again` has 0.3 % fewer entropy-coded bytes."""
