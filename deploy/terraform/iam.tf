# The module makes the log group, so nobody else needs the right to: deploy/iam/shipping-create.json is not among these.
resource "aws_iam_policy" "shipping" {
  name   = "${var.name}-health-check-shipping"
  policy = templatefile("${path.module}/../iam/shipping.json", local.places)
}

resource "aws_iam_policy" "discovery" {
  name   = "${var.name}-health-check-discovery"
  policy = templatefile("${path.module}/../iam/discovery.json", local.places)
}

resource "aws_iam_role_policy_attachment" "shipping" {
  for_each   = var.shipping_role_names
  role       = each.value
  policy_arn = aws_iam_policy.shipping.arn
}

resource "aws_iam_role_policy_attachment" "discovery" {
  for_each   = var.discovery_role_names
  role       = each.value
  policy_arn = aws_iam_policy.discovery.arn
}
