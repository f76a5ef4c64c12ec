"""The Terraform module and the CloudFormation templates in ``deploy/``.

``test_cloudfront``, ``test_tasks``, ``test_values``, ``test_secret_rotation`` and ``test_readme``
read files alone. ``test_terraform`` and ``test_checkers`` need Terraform, moto, cfn-lint and
checkov: ``make deploy-check``.
"""
