# The policy names the pool, whose ARN is known after it is made: this run applies.

variables {
  name          = "bulkhead-test"
  callback_urls = ["https://app.example.com/callback"]
  logout_urls   = ["https://app.example.com/"]
  domain_prefix = "example-staff"
}

run "a_task_makes_and_removes_people_of_this_pool_alone" {
  assert {
    condition = jsondecode(output.people_policy_json).Statement == [{
      Sid      = "People"
      Effect   = "Allow"
      Action   = ["cognito-idp:AdminCreateUser", "cognito-idp:AdminDeleteUser", "cognito-idp:AdminGetUser"]
      Resource = aws_cognito_user_pool.this.arn
    }]
    error_message = "A task must look for people, add them and remove them, in this pool alone; it must set no passwords."
  }
}
